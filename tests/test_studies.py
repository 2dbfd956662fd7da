"""A study that is opened again: where it was, with new points, and nothing left running."""

from pathlib import Path

import pytest
from optuna.trial import TrialState

from carvision.studies import _file_storage, close_interrupted, open_study


def _draw(storage: str, count: int, seed: int = 0) -> list[float]:
    study = open_study("study", storage, seed)
    drawn = []
    for _ in range(count):
        trial = study.ask()
        drawn.append(trial.suggest_float("x", 0, 1))
        study.tell(trial, drawn[-1])
    return drawn


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def test_it_goes_on_with_new_points(storage: str) -> None:
    drawn = _draw(storage, 3) + _draw(storage, 3)
    assert len(set(drawn)) == 6
    study = open_study("study", storage, 0)
    assert len(study.trials) == 6
    assert study.best_value == min(drawn)


def test_the_seed_decides(tmp_path: Path) -> None:
    first, second, third = (
        _draw(f"sqlite:///{tmp_path / name}.db", 3, seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second != third


def test_what_a_killed_process_left_is_closed(storage: str) -> None:
    _draw(storage, 2)
    left = open_study("study", storage, 0).ask()
    left.suggest_float("x", 0, 1)
    study = open_study("study", storage, 0)
    (closed,) = close_interrupted(study)
    assert (closed.number, closed.params) == (2, left.params)
    assert study.get_trials(states=(TrialState.RUNNING,)) == []
    assert close_interrupted(study) == []
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 2


def test_no_transaction_waits_for_the_disk(storage: str) -> None:
    """Where every parameter did, a trial of twenty took the better part of a second."""
    opened = _file_storage(storage)
    # Those that are opened later, too.
    for engine in (opened.engine, opened.engine, _file_storage(storage).engine):
        with engine.connect() as connection:
            modes = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous")
            ]
        engine.dispose()
        assert modes == ["wal", 1]

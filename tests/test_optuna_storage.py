"""Stored studies: opened again, and refused."""

import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from carvision import optuna_storage
from carvision.errors import ConfigError
from carvision.optuna_storage import close_interrupted, open_study
from carvision.store.errors import store_problem


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


def test_no_transaction_waits_for_the_disk(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an fsync for each parameter, a trial of twenty took most of a second."""
    opened: list[RDBStorage] = []

    def remembered(*arguments: Any, **options: Any) -> RDBStorage:
        opened.append(RDBStorage(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(optuna_storage, "RDBStorage", remembered)
    for _ in range(2):
        open_study("study", storage, 0)
    # Connections that are opened later, too.
    for engine in (opened[0].engine, opened[0].engine, opened[1].engine):
        with engine.connect() as connection:
            modes = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous")
            ]
        engine.dispose()
        assert modes == ["wal", 1]


def _broken(path: Path, how: str) -> None:
    if how == "no database":
        path.write_bytes(b"not a database at all, but text" * 100)
    elif how == "folder":
        path.mkdir()
    else:
        open_study("study", f"sqlite:///{path}", 0)
        with sqlite3.connect(path) as connection:
            if how == "newer":
                connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
            else:
                connection.execute("UPDATE version_info SET schema_version = 1")
                connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")


@pytest.mark.parametrize("how", ["no database", "folder", "newer", "older"])
def test_a_file_that_is_no_storage_is_refused_in_one_sentence(how: str, tmp_path: Path) -> None:
    path = tmp_path / "optuna.db"
    _broken(path, how)
    with pytest.raises(ConfigError, match=r"optuna\.db cannot be used for studies: .*\nMove the"):
        open_study("study", f"sqlite:///{path}", 0)


@pytest.mark.parametrize("limit", ["locked", "PRAGMA query_only = 1"])
def test_an_intact_file_is_not_to_be_moved_away(
    limit: str, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _draw(storage, 1)
    holder = sqlite3.connect(storage.removeprefix("sqlite:///"), isolation_level=None)
    if limit == "locked":
        holder.execute("BEGIN EXCLUSIVE")

    def opened(address: str, engine_kwargs: object) -> object:
        options = {"connect_args": {"timeout": 0}}
        with create_engine(address, **options).connect() as connection:
            if limit != "locked":
                connection.exec_driver_sql(limit)
            connection.exec_driver_sql("CREATE TABLE more (x INT)")

    monkeypatch.setattr(optuna_storage, "RDBStorage", opened)
    with pytest.raises(OperationalError) as caught:
        open_study("study", storage, 0)
    holder.close()
    sentence = store_problem(caught.value)
    assert sentence is not None and "move" not in sentence


@pytest.mark.parametrize("directions", [["maximize"], ["minimize", "minimize"]])
def test_a_study_that_does_not_minimise_one_value_is_refused(
    storage: str, directions: list[str]
) -> None:
    optuna.create_study(study_name="study", storage=storage, directions=directions)
    with pytest.raises(ConfigError, match=r"'study' in .* delete-study --study-name study"):
        open_study("study", storage, 0)

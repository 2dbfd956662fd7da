"""The ways to tune, on synthetic members."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from carvision.errors import CarvisionError
from carvision.metrics import CLIP, log_loss_of_true_class
from carvision.pipelines.tune import methods
from carvision.pipelines.tune.methods import (
    METHODS,
    TuneSettings,
    nested_trials,
    tune_by_method,
)
from tests.ensembling.conftest import folds_of, scorer_of, with_a_zero
from tests.ensembling.synthetic import SyntheticMembers


def _settings(method: str) -> TuneSettings:
    return TuneSettings(method, trials=3, seed=0, budget=None)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, for the study and its lock."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("method", METHODS)
def test_the_score_is_of_the_nested_predictions(method: str) -> None:
    """A single candidate gives one truth no probability, which no weight can change."""
    table = with_a_zero(
        SyntheticMembers(photos=60, skills=(3.0,), views=("original",), view_shift=(0.0,)).table()
    )
    result = tune_by_method(scorer_of(table), folds_of(table), _settings(method))
    truths = result.nested[np.arange(60), table.targets]
    assert np.isneginf(truths).sum() == 1
    nested = result.tuned.nested_log_p
    np.testing.assert_allclose(nested, np.maximum(truths, np.log(CLIP)))
    # The interval around their mean is therefore around the score.
    assert -nested.mean() == pytest.approx(log_loss_of_true_class(truths))


def test_raw_weights_have_a_name_of_their_own() -> None:
    table = SyntheticMembers(photos=60).table()
    result = tune_by_method(scorer_of(table), folds_of(table), _settings("weights"))
    assert result.tuned.blend.rule == "raw weights by TPE"


@pytest.mark.parametrize("method", METHODS)
def test_the_same_search_runs_once_at_a_time(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process would close the first one's running trial."""
    table = SyntheticMembers(photos=60).table()
    scorer, crossfit_folds = scorer_of(table), folds_of(table)
    search = METHODS[method]

    def meanwhile(*arguments: Any) -> Any:
        with pytest.raises(
            CarvisionError, match=f"another process is busy with the study {method}"
        ):
            tune_by_method(scorer, crossfit_folds, _settings(method))
        return search(*arguments)

    monkeypatch.setitem(METHODS, method, meanwhile)
    tune_by_method(scorer, crossfit_folds, _settings(method))


@pytest.mark.parametrize(
    ("trials", "expected"), [(1, 3), (3, 3), (4, 4), (8, 4), (9, 5), (203, 43)]
)
def test_nested_searches_draw_a_fifth_after_their_starts(trials: int, expected: int) -> None:
    study = optuna.create_study()
    for start in range(3):
        study.enqueue_trial({"x": start / 3}, user_attrs={"start": str(start)})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=5)
    assert nested_trials(trials, study) == expected


@pytest.mark.parametrize("method", METHODS)
def test_the_bar_of_a_resumed_study_begins_with_what_is_done_and_ends_complete(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[list[int]] = []

    @contextmanager
    def watched(description: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
        bar = [done, done, total]
        if description == "tuning":
            bars.append(bar)

        def advance(more: int, description: str | None = None) -> None:
            bar[1] += more

        yield advance

    monkeypatch.setattr(methods, "progress", watched)
    table = SyntheticMembers(photos=60).table()
    scorer, crossfit_folds = scorer_of(table), folds_of(table)
    for trials in (14, 20, 20, 5):
        tune_by_method(scorer, crossfit_folds, TuneSettings(method, trials, seed=0, budget=None))
    # Where the bar begins and ends, and its total.
    assert bars[0][0] == 0 and bars[0][1] == bars[0][2] >= 14
    assert bars[1] == [bars[0][2], 20, 20]
    assert bars[2] == bars[3] == [20, 20, 20]

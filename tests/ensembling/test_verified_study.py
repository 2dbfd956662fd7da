"""Studies in which another process has stored wrong values."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from carvision.ensembling.blend import Scorer
from carvision.ensembling.mix import mixture_log_loss
from carvision.ensembling.study import StudyRequest, minimise
from carvision.ensembling.weight_search import WeightProblem
from tests.ensembling.searches import (
    cross_fitted_loss,
    searched,
)


def _forge(storage: str, value: float, **changes: Any) -> None:
    """Write a finished trial into the study ``s``, with parameters of its first one changed."""
    study = optuna.load_study(study_name="s", storage=storage)
    first = study.trials[0]
    params = first.params | changes
    kinds = first.distributions | {
        name: optuna.distributions.CategoricalDistribution([choice])
        for name, choice in changes.items()
        if name not in first.distributions
    }
    study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=value))


@pytest.mark.parametrize("value", [float("-inf"), 1e-3])
@pytest.mark.parametrize(
    "changes",
    [{}, {"shrinkage": 1.0, "rule": "equal"}, {"stranger": "x"}],
    ids=["the same", "another blend", "of another search"],
)
def test_a_forged_trial_does_not_win(
    value: float,
    changes: dict[str, Any],
    scorer: Scorer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    honest = searched(scorer, 9, storage=storage, name="s", digest="p")
    _forge(storage, value, **changes)
    told: list[float] = []
    found = searched(scorer, 10, storage=storage, name="s", digest="p", on_trial=told.append)
    assert found.value <= honest.value
    assert cross_fitted_loss(scorer, found.best) == pytest.approx(found.value, abs=1e-9)
    # It neither counts as a trial nor is reported as the best.
    assert len(told) == 1 and told[0] >= found.value
    assert "trials 9 (stored" in caplog.text
    assert all(np.isfinite(trial.value or 0.0) for trial in found.study.trials)


def test_many_forged_trials_do_not_win(scorer: Scorer, tmp_path: Path) -> None:
    """Twenty trials with forged values do not hide the best right one."""
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    honest = searched(scorer, 9, storage=storage, name="s", digest="p")
    for k in range(20):
        _forge(storage, -float(k), shrinkage=k / 20)
    found = searched(scorer, 9, storage=storage, name="s", digest="p")
    assert found.value <= honest.value
    assert cross_fitted_loss(scorer, found.best) == pytest.approx(found.value, abs=1e-9)


@pytest.mark.parametrize("value", [-5.0, float("-inf"), 0.0])
@pytest.mark.parametrize("name", ["a/original", "b/original", "stranger"])
def test_forged_weights_do_not_win(value: float, name: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    p = np.array([[0.9, 0.2], [0.8, 0.3], [0.1, 0.6]])
    candidates = [("a", "original"), ("b", "original")]
    problem = WeightProblem(candidates, {"a": 1, "b": 1}, partial(mixture_log_loss, p))
    request = StudyRequest(12, seed=0, name="s", digest="p", storage=storage)
    honest = minimise(problem, request)
    params = {"a/original": 0.0, "b/original": 0.0} | {name: 1.0}
    kinds = dict.fromkeys(params, optuna.distributions.FloatDistribution(0, 1))
    trial = optuna.trial.create_trial(params=params, distributions=kinds, value=value)
    optuna.load_study(study_name="s", storage=storage).add_trial(trial)
    found = minimise(problem, request)
    assert found.value <= honest.value
    assert found.value == pytest.approx(mixture_log_loss(p, found.best))

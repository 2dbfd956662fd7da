"""Studies: how they go on after an interruption, and what they refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from carvision.ensembling.blend import Scorer
from carvision.ensembling.blend_starts import simple_starts
from carvision.errors import ConfigError
from tests.ensembling.conftest import Solved, everything
from tests.ensembling.searches import searched
from tests.ensembling.weight_study import CANDIDATES, SIMPLE, WeightStudy


def test_a_study_goes_on_to_its_total(scorer: Scorer, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    seen: list[float] = []
    first = searched(scorer, 12, storage=storage, name="s", digest="p", on_trial=seen.append)
    assert len(seen) == first.trials == 12
    assert seen == sorted(seen, reverse=True)
    again: list[float] = []
    second = searched(scorer, 16, storage=storage, name="s", digest="p", on_trial=again.append)
    assert len(again) == 4
    assert second.value <= first.value
    drawn = [tuple(trial.params.items()) for trial in second.study.trials]
    assert len(set(drawn)) == len(drawn)


def test_a_name_taken_by_another_problem_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    searched(scorer, 1, storage=storage, name="s", digest="these photos")
    with pytest.raises(ConfigError, match=r"of other data .* optuna delete-study --study-name s"):
        searched(scorer, 1, storage=storage, name="s", digest="other photos")


def test_a_trial_left_running_is_closed(scorer: Scorer, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    found = searched(scorer, 9, storage=storage, name="s", digest="p")
    found.study.ask()
    searched(scorer, 10, storage=storage, name="s", digest="p")
    study = optuna.load_study(study_name="s", storage=storage)
    assert study.get_trials(states=(TrialState.RUNNING,)) == []


@pytest.mark.parametrize(
    "params", [{"x": 1.0}, {}, {"rule": "evil"}, {"shrinkage": 7.0, "rule": "exact"}]
)
def test_what_others_enqueued_is_not_tried(
    params: dict[str, Any], scorer: Scorer, tmp_path: Path
) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(study_name="s", storage=storage).enqueue_trial(params)
    found = searched(scorer, 1, storage=storage, name="s", digest="p")
    tried = found.study.get_trials(states=(TrialState.COMPLETE,))
    assert len(tried) == len(simple_starts(scorer, everything(scorer)))
    assert all("start" in trial.user_attrs for trial in tried)


def test_a_study_of_other_choices_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = optuna.create_study(study_name="s", storage=storage)
    kinds = {"rule": optuna.distributions.CategoricalDistribution(["evil"])}
    study.add_trial(
        optuna.trial.create_trial(params={"rule": "evil"}, distributions=kinds, value=-5.0)
    )
    with pytest.raises(ConfigError, match=r"trial 0 whose 'rule' .* delete-study --study-name s"):
        searched(scorer, 1, storage=storage, name="s", digest="p")


def test_the_reported_best_value_only_falls(solved: Solved) -> None:
    _, tuned, reported = solved
    assert len(reported) == tuned.trials == 60
    assert reported == sorted(reported, reverse=True)
    assert reported[-1] == tuned.value


def test_trials_are_a_total(problem: WeightStudy) -> None:
    first = problem.tune(14)
    again: list[float] = []
    second = problem.tune(14, on_trial=again.append)
    assert again == []
    assert (second.trials, second.value) == (14, first.value)
    np.testing.assert_array_equal(second.best, first.best)
    more: list[float] = []
    third = problem.tune(19, on_trial=more.append)
    assert (len(more), third.trials) == (5, 19)
    assert third.value <= first.value
    assert problem.tune(3).trials == 19


def test_a_study_that_goes_on_draws_new_points(problem: WeightStudy) -> None:
    for total in (len(SIMPLE) + 4, len(SIMPLE) + 8):
        problem.tune(total)
    drawn = [tuple(trial.params.values()) for trial in problem.trials()]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("finished", [0, 2, len(SIMPLE) + 2])
def test_a_trial_left_running_is_closed_and_its_rule_tried_again(
    problem: WeightStudy, finished: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A process is killed during a trial, after ``finished`` complete ones."""

    def killed(best: float) -> None:
        if len(problem.trials(TrialState.COMPLETE)) == finished:
            raise KeyboardInterrupt

    if finished:
        with pytest.raises(KeyboardInterrupt):
            problem.tune(14, on_trial=killed)
        study = optuna.load_study(study_name="study", storage=problem.storage)
    else:
        study = optuna.create_study(study_name="study", storage=problem.storage)
        for rule, weights in SIMPLE.items():
            params = {f"{m}/{v}": w for (m, v), w in zip(CANDIDATES, weights, strict=True)}
            study.enqueue_trial(params, user_attrs={"start": rule})
    study.ask()
    assert len(problem.trials(TrialState.RUNNING)) == 1

    tuned = problem.tune(14)

    assert problem.trials(TrialState.RUNNING, TrialState.WAITING) == []
    assert tuned.trials == 14
    tried = {trial.user_attrs.get("start") for trial in problem.trials(TrialState.COMPLETE)}
    assert set(SIMPLE) <= tried


def test_the_seed_decides(tmp_path: Path) -> None:
    drawn, weights = [], []
    for k, seed in enumerate((3, 3, 4)):
        (tmp_path / str(k)).mkdir()
        problem = WeightStudy.within(tmp_path / str(k))
        weights.append(problem.tune(len(SIMPLE) + 3, seed=seed).best)
        drawn.append([trial.params for trial in problem.trials()[len(SIMPLE) :]])
    assert drawn[0] == drawn[1]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert drawn[0] != drawn[2]


@pytest.mark.parametrize("trials", [0, -3])
def test_no_trial_is_refused(problem: WeightStudy, trials: int) -> None:
    with pytest.raises(ConfigError, match=f"trials: expected at least 1, got {trials}"):
        problem.tune(trials)
    assert not Path(problem.storage.removeprefix("sqlite:///")).exists()

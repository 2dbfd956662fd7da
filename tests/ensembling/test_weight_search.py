"""The study of weights: how good its answer is, and how it goes on after an interruption."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from numpy.typing import NDArray
from optuna.trial import TrialState

from carvision.ensembling.mix import mixture_log_loss
from carvision.ensembling.weight_search import Tuned, starting_points, tune_weights
from carvision.errors import ConfigError

CANDIDATES = [("a", "original"), ("a", "hflip"), ("b", "original"), ("b", "hflip")]
PLAN = {"a": 20.0, "b": 10.0}
#: Equal, plan, one a candidate, one a member, one a view.
RULES = starting_points(CANDIDATES, PLAN)


@dataclass(frozen=True)
class Problem:
    """Out-of-fold probabilities of the true class ``[images, candidates]``, and their storage."""

    true_class: NDArray[np.float64]
    storage: str

    def tune(self, trials: int, **options: Any) -> Tuned:
        settings: dict[str, Any] = {"study_name": "study", "problem": "p", "seed": 0} | options
        return tune_weights(
            self.true_class, CANDIDATES, RULES, trials=trials, storage=self.storage, **settings
        )

    def trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        study = optuna.load_study(study_name="study", storage=self.storage)
        return study.get_trials(states=states or None)


def _problem(tmp_path: Path) -> Problem:
    """Members that are sure of different photos; the last candidate is worthless."""
    generator = np.random.default_rng(4)
    strong, weak = generator.beta(8, 1, (2, 300)), generator.beta(1.2, 3, (2, 300))
    knows = generator.random(300) < 0.7
    true_class = np.stack(
        [
            np.where(knows, strong[0], weak[0]),
            np.where(knows, strong[1], weak[0]) * 0.8,
            np.where(knows, weak[1], strong[1]),
            np.full(300, 1e-4),
        ],
        axis=1,
    )
    return Problem(true_class, f"sqlite:///{tmp_path / 'optuna.db'}")


@pytest.fixture
def problem(tmp_path: Path) -> Problem:
    return _problem(tmp_path)


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Problem, Tuned, list[float]]:
    """The problem after 60 trials, and the best values that were reported meanwhile."""
    problem = _problem(tmp_path_factory.mktemp("solved"))
    reported: list[float] = []
    return problem, problem.tune(60, on_trial=reported.append), reported


def test_rules_are_the_named_simple_mixtures() -> None:
    expected = {
        "equal": [1 / 4, 1 / 4, 1 / 4, 1 / 4],
        "plan": [1 / 3, 1 / 3, 1 / 6, 1 / 6],
        "a original": [1, 0, 0, 0],
        "a hflip": [0, 1, 0, 0],
        "b original": [0, 0, 1, 0],
        "b hflip": [0, 0, 0, 1],
        "a all views": [1 / 2, 1 / 2, 0, 0],
        "b all views": [0, 0, 1 / 2, 1 / 2],
        "all members original": [1 / 2, 0, 1 / 2, 0],
        "all members hflip": [0, 1 / 2, 0, 1 / 2],
    }
    assert {name: weights.tolist() for name, weights in RULES.items()} == {
        name: pytest.approx(weights) for name, weights in expected.items()
    }


def test_weights_are_a_mixture_of_the_loss_that_is_told(
    solved: tuple[Problem, Tuned, list[float]],
) -> None:
    problem, tuned, _ = solved
    assert tuned.weights.shape == (4,)
    assert (tuned.weights >= 0).all()
    assert tuned.weights.sum() == pytest.approx(1)
    again = mixture_log_loss(problem.true_class, tuned.weights)
    assert again == pytest.approx(tuned.log_loss, abs=1e-12)


def test_the_known_mixture_is_found(solved: tuple[Problem, Tuned, list[float]]) -> None:
    problem, tuned, _ = solved
    best_rule = min(mixture_log_loss(problem.true_class, weights) for weights in RULES.values())
    equal = mixture_log_loss(problem.true_class, RULES["equal"])
    assert tuned.log_loss < best_rule
    assert tuned.log_loss < equal - 0.1
    assert tuned.weights[3] < 0.05
    # Within reach of the optimum of this convex problem, found on a grid.
    steps = np.linspace(0, 1, 41)
    optimum = min(
        mixture_log_loss(problem.true_class, np.array([u, v, 1 - u - v, 0]))
        for u in steps
        for v in steps
        if u + v <= 1
    )
    assert tuned.log_loss < optimum + 0.01


@pytest.mark.parametrize("trials", [1, len(RULES)])
def test_never_above_any_rule_however_few_trials(problem: Problem, trials: int) -> None:
    tuned = problem.tune(trials)
    losses = [mixture_log_loss(problem.true_class, weights) for weights in RULES.values()]
    assert tuned.log_loss <= min(losses) + 1e-12
    tried = {trial.user_attrs["start"] for trial in problem.trials(TrialState.COMPLETE)}
    assert tried == set(RULES)


def test_progress_only_falls(solved: tuple[Problem, Tuned, list[float]]) -> None:
    _, tuned, reported = solved
    assert len(reported) == tuned.trials == 60
    assert reported == sorted(reported, reverse=True)
    assert reported[-1] == tuned.log_loss


def test_trials_are_a_total(problem: Problem) -> None:
    first = problem.tune(14)
    again: list[float] = []
    second = problem.tune(14, on_trial=again.append)
    assert again == []
    assert (second.trials, second.log_loss) == (14, first.log_loss)
    np.testing.assert_array_equal(second.weights, first.weights)
    more: list[float] = []
    third = problem.tune(19, on_trial=more.append)
    assert (len(more), third.trials) == (5, 19)
    assert third.log_loss <= first.log_loss
    assert problem.tune(3).trials == 19


def test_a_study_that_goes_on_draws_new_points(problem: Problem) -> None:
    for total in (len(RULES) + 4, len(RULES) + 8):
        problem.tune(total)
    drawn = [tuple(trial.params.values()) for trial in problem.trials()]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("finished", [0, 2, len(RULES) + 2])
def test_a_trial_left_running_is_closed_and_its_rule_tried_again(
    problem: Problem, finished: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A process is killed in the middle of a trial, after ``finished`` whole ones."""

    def killed(best: float) -> None:
        if len(problem.trials(TrialState.COMPLETE)) == finished:
            raise KeyboardInterrupt

    if finished:
        with pytest.raises(KeyboardInterrupt):
            problem.tune(14, on_trial=killed)
        study = optuna.load_study(study_name="study", storage=problem.storage)
    else:
        study = optuna.create_study(study_name="study", storage=problem.storage)
        for rule, weights in RULES.items():
            params = {f"{m}/{v}": w for (m, v), w in zip(CANDIDATES, weights, strict=True)}
            study.enqueue_trial(params, user_attrs={"start": rule})
    study.ask()
    assert len(problem.trials(TrialState.RUNNING)) == 1

    tuned = problem.tune(14)

    assert problem.trials(TrialState.RUNNING, TrialState.WAITING) == []
    assert tuned.trials == 14
    tried = {trial.user_attrs.get("start") for trial in problem.trials(TrialState.COMPLETE)}
    assert set(RULES) <= tried


def test_the_seed_decides(tmp_path: Path) -> None:
    drawn, weights = [], []
    for k, seed in enumerate((3, 3, 4)):
        (tmp_path / str(k)).mkdir()
        problem = _problem(tmp_path / str(k))
        weights.append(problem.tune(len(RULES) + 3, seed=seed).weights)
        drawn.append([trial.params for trial in problem.trials()[len(RULES) :]])
    assert drawn[0] == drawn[1]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert drawn[0] != drawn[2]


@pytest.mark.parametrize("trials", [0, -3])
def test_no_trial_is_refused(problem: Problem, trials: int) -> None:
    with pytest.raises(ConfigError, match=f"trials: expected at least 1, got {trials}"):
        problem.tune(trials)
    assert not Path(problem.storage.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize("value", [-5.0, float("-inf"), 0.0])
@pytest.mark.parametrize("name", ["a/original", "b/original", "stranger"])
def test_forged_weights_do_not_win(value: float, name: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    p = np.array([[0.9, 0.2], [0.8, 0.3], [0.1, 0.6]])
    candidates = [("a", "original"), ("b", "original")]

    def tuned() -> Tuned:
        return tune_weights(
            p,
            candidates,
            starting_points(candidates, {"a": 1, "b": 1}),
            trials=12,
            study_name="s",
            problem="p",
            storage=storage,
            seed=0,
        )

    honest = tuned()
    params = {"a/original": 0.0, "b/original": 0.0} | {name: 1.0}
    kinds = dict.fromkeys(params, optuna.distributions.FloatDistribution(0, 1))
    trial = optuna.trial.create_trial(params=params, distributions=kinds, value=value)
    optuna.load_study(study_name="s", storage=storage).add_trial(trial)
    found = tuned()
    assert found.log_loss <= honest.log_loss
    assert found.log_loss == pytest.approx(mixture_log_loss(p, found.weights))

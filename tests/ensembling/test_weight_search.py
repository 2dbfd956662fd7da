"""The search for raw weights: how good its answer is."""

import numpy as np
import pytest
from optuna.trial import TrialState

from carvision.ensembling.mix import mixture_log_loss
from tests.ensembling.conftest import Solved
from tests.ensembling.weight_study import SIMPLE, WeightStudy


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
    assert {name: weights.tolist() for name, weights in SIMPLE.items()} == {
        name: pytest.approx(weights) for name, weights in expected.items()
    }


def test_the_weights_are_a_mixture_with_the_reported_loss(
    solved: Solved,
) -> None:
    problem, tuned, _ = solved
    assert tuned.best.shape == (4,)
    assert (tuned.best >= 0).all()
    assert tuned.best.sum() == pytest.approx(1)
    again = mixture_log_loss(problem.true_class, tuned.best)
    assert again == pytest.approx(tuned.value, abs=1e-12)


def test_the_known_mixture_is_found(solved: Solved) -> None:
    problem, tuned, _ = solved
    best_rule = min(mixture_log_loss(problem.true_class, weights) for weights in SIMPLE.values())
    equal = mixture_log_loss(problem.true_class, SIMPLE["equal"])
    assert tuned.value < best_rule
    assert tuned.value < equal - 0.1
    assert tuned.best[3] < 0.05
    # Close to the optimum of this convex problem, which a grid finds.
    steps = np.linspace(0, 1, 41)
    optimum = min(
        mixture_log_loss(problem.true_class, np.array([u, v, 1 - u - v, 0]))
        for u in steps
        for v in steps
        if u + v <= 1
    )
    assert tuned.value < optimum + 0.01


@pytest.mark.parametrize("trials", [1, len(SIMPLE)])
def test_no_rule_is_better_however_few_the_trials(problem: WeightStudy, trials: int) -> None:
    tuned = problem.tune(trials)
    losses = [mixture_log_loss(problem.true_class, weights) for weights in SIMPLE.values()]
    assert tuned.value <= min(losses) + 1e-12
    tried = {trial.user_attrs["start"] for trial in problem.trials(TrialState.COMPLETE)}
    assert tried == set(SIMPLE)

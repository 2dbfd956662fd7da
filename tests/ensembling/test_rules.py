"""Rules for weights, by their definitions."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from carvision.ensembling.mix import mixture_log_loss
from carvision.ensembling.rules import RULES

P = np.random.default_rng(0).beta([6, 3, 1.5], 1.2, (400, 3))
PLAN = np.array([20.0, 15.0, 5.0])


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_a_mixture(rule: str) -> None:
    given = P.copy()
    weights = RULES[rule](given, PLAN)
    assert weights.shape == (3,)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    np.testing.assert_array_equal(given, P)


@pytest.mark.parametrize("rule", RULES)
def test_none_is_better_than_exact(rule: str) -> None:
    exact = mixture_log_loss(P, RULES["exact"](P, PLAN))
    assert mixture_log_loss(P, RULES[rule](P, PLAN)) >= exact - 1e-9


def test_the_simple_ones() -> None:
    losses = -np.log(P).mean(axis=0)
    np.testing.assert_allclose(RULES["equal"](P, PLAN), [1 / 3] * 3)
    np.testing.assert_allclose(RULES["plan"](P, PLAN), [0.5, 0.375, 0.125])
    np.testing.assert_allclose(RULES["inverse"](P, PLAN), (1 / losses) / (1 / losses).sum())
    np.testing.assert_allclose(RULES["best"](P, PLAN), [1, 0, 0])


def test_greedy_is_caruanas_selection() -> None:
    """The same selection, written out with whole distributions and scikit-learn's log loss."""
    generator = np.random.default_rng(3)
    targets = generator.integers(0, 4, 60)
    models = generator.dirichlet(np.ones(4), (3, 60)) + 0.6 * np.eye(4)[targets]
    models /= models.sum(axis=2, keepdims=True)
    chosen: list[int] = []
    best: tuple[float, list[int]] = (np.inf, [])
    for _ in range(30):
        losses = [
            log_loss(targets, models[[*chosen, k]].mean(axis=0), labels=range(4)) for k in range(3)
        ]
        chosen.append(int(np.argmin(losses)))
        if min(losses) < best[0]:
            best = (min(losses), chosen.copy())
    expected = np.bincount(best[1], minlength=3) / len(best[1])
    p = models[:, np.arange(60), targets].T
    np.testing.assert_allclose(RULES["greedy"](p, np.ones(3)), expected)


@pytest.mark.parametrize("rule", RULES)
def test_zeros_on_the_truth_are_clipped(rule: str) -> None:
    p = P.copy()
    p[:7] = 0
    with np.errstate(all="raise"):
        assert np.isfinite(RULES[rule](p, PLAN)).all()

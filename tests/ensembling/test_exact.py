"""Exact weights, against SLSQP, EM, and cases that are solved by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax

from carvision.ensembling.exact import GAP, duality_gap, exact_weights
from carvision.ensembling.mix import mixture_log_loss
from carvision.errors import PredictionsError


def _random(images: int, candidates: int, seed: int) -> NDArray[np.float64]:
    """Candidates of very different skill and sharpness."""
    generator = np.random.default_rng(seed)
    easy = generator.normal(0, 2, (images, 1))
    skill = generator.normal(0.5, 1.5, candidates)
    logits = easy + skill + generator.normal(0, 1.5, (images, candidates))
    return 1 / (1 + np.exp(-generator.uniform(0.5, 3) * logits))


def _slsqp(p: NDArray[np.float64], starts: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    candidates = p.shape[1]
    found = [
        minimize(
            lambda w: -np.log(np.maximum(p @ w, 1e-300)).mean(),
            generator.dirichlet(np.ones(candidates)),
            jac=lambda w: -(p / np.maximum(p @ w, 1e-300)[:, None]).mean(axis=0),
            bounds=[(0, 1)] * candidates,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        ).fun
        for _ in range(starts)
    ]
    return float(min(found))


@pytest.mark.parametrize("seed", range(8))
def test_slsqp_finds_nothing_lower(seed: int) -> None:
    p = _random(300, 3 + seed, seed)
    found = exact_weights(p)
    independent = _slsqp(p, 5, seed)
    assert found.log_loss <= independent + 1e-9
    assert found.log_loss == pytest.approx(independent, abs=1e-6)
    assert found.gap <= GAP
    assert mixture_log_loss(p, found.weights) == pytest.approx(found.log_loss, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_gap_bounds_what_em_can_still_gain(seed: int) -> None:
    """EM (Dempster, Laird and Rubin) converges slowly to the same optimum."""
    p = _random(200, 4, seed)
    weights = np.full(4, 1 / 4)
    for _ in range(20_000):
        weights = weights * (p / (p @ weights)[:, None]).mean(axis=0)
    found = exact_weights(p)
    assert mixture_log_loss(p, weights) >= found.log_loss - found.gap - 1e-12
    assert mixture_log_loss(p, weights) == pytest.approx(found.log_loss, abs=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.83])
def test_the_closed_form_of_two_experts(share: float) -> None:
    """Each photo is known to one expert alone: the weights are the shares of photos."""
    first = round(1000 * share)
    p = np.zeros((1000, 2))
    p[:first, 0], p[first:, 1] = 0.9, 0.6
    found = exact_weights(p)
    np.testing.assert_allclose(found.weights, [share, 1 - share], atol=1e-6)


def test_the_interior_optimum_of_two_candidates() -> None:
    """Probabilities (a, b) and (b, a) on n and m photos: solved by setting the slope to zero."""
    a, b, n, m = 0.8, 0.3, 600, 400
    p = np.array([[a, b]] * n + [[b, a]] * m)
    # d/dw [n log(b + w(a-b)) + m log(a - w(a-b))] = 0
    w = (n * a - m * b) / ((n + m) * (a - b))
    found = exact_weights(p)
    assert found.weights[0] == pytest.approx(w, abs=1e-6)


def test_useless_candidates_get_exactly_zero() -> None:
    good = _random(500, 1, 3)
    p = np.hstack([good, good * 0.5, good * 0.01])
    assert exact_weights(p).weights.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "case",
    ["equal candidates", "zero on a truth", "one candidate", "one photo", "float32", "tiny"],
)
def test_awkward_cases_are_solved(case: str) -> None:
    p = _random(200, 4, 5)
    if case == "equal candidates":
        p = np.hstack([p, p, p])
    elif case == "zero on a truth":
        p[:50, 0], p[50:90, 1] = 0.0, 0.0
    elif case == "one candidate":
        p = p[:, :1]
    elif case == "one photo":
        p = p[:1]
    elif case == "float32":
        p = p.astype(np.float32)
    elif case == "tiny":
        p = p * 1e-12
    given = p.copy()
    found = exact_weights(p)
    assert found.gap <= GAP
    assert found.weights.sum() == pytest.approx(1)
    assert (found.weights >= 0).all()
    np.testing.assert_array_equal(p, given)


@pytest.mark.parametrize("sharpness", [1, 4, 10, 30])
def test_overconfident_candidates_are_solved(sharpness: float) -> None:
    """Candidates are confident but sometimes wrong: a full step would leave a photo at zero."""
    generator = np.random.default_rng(1)
    logits = generator.normal(1, 2, (2000, 12))
    p = 1 / (1 + np.exp(-sharpness * logits))
    found = exact_weights(p)
    assert found.gap <= GAP


@pytest.mark.parametrize(("images", "sharpness", "seed"), [(20, 60, 1), (20, 100, 1), (10, 60, 8)])
def test_small_steps_help_where_the_quadratic_model_does_not(
    images: int, sharpness: float, seed: int
) -> None:
    """More confident candidates than photos: the solver once stopped up to 3 nats too high."""
    logits = np.random.default_rng(seed).normal(0, 1, (images, 35, 5))
    p = softmax(sharpness * logits, axis=2)[:, :, 0]
    found = exact_weights(p)
    assert found.gap <= 1e-8
    assert duality_gap(p, found.weights) == pytest.approx(found.gap, abs=1e-12)
    assert duality_gap(p, np.full(35, 1 / 35)) > 0.1


@pytest.mark.parametrize("p", [np.zeros((0, 3)), np.zeros((5, 0)), np.array([[0.5, np.nan]])])
def test_nothing_and_nan_are_refused(p: NDArray[np.float64]) -> None:
    with pytest.raises(PredictionsError, match="exact weights need probabilities"):
        exact_weights(p)

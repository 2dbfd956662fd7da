"""Mixtures, against scipy's softmax and scikit-learn's log loss."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from carvision.ensembling.mix import mixture_log_loss, normalised
from carvision.metrics import CLIP


def _log_probabilities(*shape: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, scale, shape)
    return log_softmax(logits, axis=-1)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([2.0, 6.0], [0.25, 0.75]),
        ([0.0, 3.0], [0.0, 1.0]),
        ([0.0, 0.0, 0.0, 0.0], [0.25] * 4),
        ([1e-300, 1e-300], [0.5, 0.5]),
    ],
)
def test_normalised(weights: list[float], expected: list[float]) -> None:
    given = np.array(weights)
    np.testing.assert_allclose(normalised(given), expected)
    assert given.tolist() == weights


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.2, 0.3, 0.5), (1 / 3, 1 / 3, 1 / 3)])
def test_log_loss_is_scikit_learns_of_the_whole_mixture(
    weights: tuple[float, ...], dtype: type
) -> None:
    probabilities = np.exp(_log_probabilities(3, 50, 6))
    targets = np.random.default_rng(1).integers(0, 6, 50)
    mixed = np.tensordot(np.array(weights), probabilities, axes=1)
    true_class = probabilities[:, np.arange(50), targets].T.astype(dtype)
    found = mixture_log_loss(true_class, np.array(weights))
    assert found == pytest.approx(log_loss(targets, mixed, labels=range(6)), rel=1e-6)


def test_a_zero_costs_what_the_competition_clips_it_to() -> None:
    true_class = np.array([[0.0, 1.0], [1.0, 1.0]])
    with np.errstate(all="raise"):
        found = mixture_log_loss(true_class, np.array([1.0, 0.0]))
    assert found == pytest.approx(-np.log(CLIP) / 2)

"""Temperature scaling, against scipy's softmax."""

import numpy as np
import pytest
from scipy.special import log_softmax

from carvision.contracts import tempered


def _log_probabilities(*shape: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, scale, shape)
    return log_softmax(logits, axis=-1)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 1.7, 40.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tempered_is_the_softmax_of_the_quotient(temperature: float, dtype: type) -> None:
    values = _log_probabilities(2, 7, 5).astype(dtype)
    before = values.copy()
    found = tempered(values, temperature)
    expected = log_softmax(before.astype(np.float64) / temperature, axis=-1)
    np.testing.assert_allclose(found, expected, atol=2e-5 if dtype is np.float32 else 1e-12)
    np.testing.assert_array_equal(values, before)


def test_each_view_may_have_its_own_temperature() -> None:
    values = _log_probabilities(3, 4, 6)
    temperatures = np.array([0.5, 1.0, 2.0])[:, None, None]
    found = tempered(values, temperatures)
    for view, temperature in enumerate(temperatures.ravel()):
        np.testing.assert_allclose(found[view], log_softmax(values[view] / temperature, axis=-1))


def test_temperature_one_leaves_probabilities_alone() -> None:
    values = _log_probabilities(9, 4)
    np.testing.assert_allclose(tempered(values, 1.0), values, atol=1e-12)


def test_tempered_bears_probabilities_of_zero() -> None:
    found = tempered(np.array([[0.0, -np.inf], [-2000.0, -2001.0]]), 0.5)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    assert found[0].tolist() == [0.0, -np.inf]

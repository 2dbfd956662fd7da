"""The formula for mixing, against wide floats; log losses against scikit-learn's."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from carvision.contracts import Mixing
from carvision.ensembling.mix import (
    Mixture,
    fold_mean,
    mix,
    mixture_log_loss,
    normalised,
    tempered,
)
from carvision.metrics import CLIP
from tests.ensembling.conftest import mixed_by_formula

_WEIGHTS = np.array([0.35, 0.05, 0.4, 0.2])
_TEMPERATURES = [(1.0, 1.0, 1.0, 1.0), (0.4, 0.4, 3.0, 3.0), (0.02, 1.0, 40.0, 0.7)]


def _log_probabilities(*shape: int, seed: int = 0, scale: float = 3.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, scale, shape)
    return log_softmax(logits, axis=-1)


@pytest.mark.parametrize("temperatures", _TEMPERATURES)
@pytest.mark.parametrize("scale", [3.0, 300.0])
@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_members_of_several_folds_are_mixed_by_the_formula(
    mixing: Mixing, scale: float, temperatures: tuple[float, ...]
) -> None:
    """Two members of two views and three folds."""
    log_q = _log_probabilities(4, 3, 20, 6, scale=scale)
    each = np.array(temperatures)
    members = []
    for own in (slice(0, 2), slice(2, 4)):
        by_fold = np.moveaxis(log_q[own], 1, 0)
        members.append(fold_mean(tempered(log_p, each[own, None, None]) for log_p in by_fold))
    before = members[0].copy()
    found = mix(members, [_WEIGHTS[:2].tolist(), _WEIGHTS[2:].tolist()], mixing)
    expected = mixed_by_formula(log_q, _WEIGHTS, each, mixing)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)
    np.testing.assert_array_equal(members[0], before)


@pytest.mark.parametrize("temperatures", _TEMPERATURES)
@pytest.mark.parametrize("scale", [3.0, 300.0])
@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-9), (np.float32, 2e-3)])
def test_log_probabilities_of_one_fold_are_mixed_by_the_formula(
    dtype: type, error: float, mixing: Mixing, scale: float, temperatures: tuple[float, ...]
) -> None:
    """float32 holds a thousand nats to 1e-4."""
    log_q = _log_probabilities(4, 1, 20, 6, scale=scale).astype(dtype)
    before = log_q.copy()
    mixture = Mixture(mixing)
    for weight, log_p, temperature in zip(_WEIGHTS, log_q[:, 0], temperatures, strict=True):
        mixture.add(float(weight), log_p, temperature)
    expected = mixed_by_formula(log_q, _WEIGHTS, np.array(temperatures), mixing)
    found = mixture.log_probabilities()
    assert found.dtype == mixture.probabilities().dtype == dtype
    np.testing.assert_allclose(np.exp(found), expected, atol=error)
    np.testing.assert_allclose(mixture.probabilities(), expected, atol=error)
    np.testing.assert_array_equal(log_q, before)


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_a_zero_counts_as_the_least_probability(mixing: Mixing) -> None:
    with np.errstate(divide="ignore"):
        log_q = np.log(np.array([[[[0.7, 0.3, 0.0]]], [[[0.2, 0.0, 0.8]]]]))
    weights, temperatures = np.array([0.6, 0.4]), np.array([0.5, 2.0])
    one_by_one, whole = Mixture(mixing), Mixture(mixing)
    for weight, log_p, temperature in zip(weights, log_q[:, 0], temperatures, strict=True):
        one_by_one.add(float(weight), log_p, temperature)
        whole.add_probabilities(float(weight), np.exp(tempered(log_p, temperature)))
    expected = mixed_by_formula(log_q, weights, temperatures, mixing)
    np.testing.assert_allclose(one_by_one.probabilities(), expected, rtol=1e-9)
    np.testing.assert_allclose(whole.probabilities(), expected, rtol=1e-9)
    assert np.isfinite(one_by_one.log_probabilities()).all()


def test_a_class_of_no_probability_is_minus_infinity() -> None:
    mixture = Mixture("arithmetic")
    mixture.add_probabilities(1.0, np.array([[1.0, 0.0]]))
    assert mixture.log_probabilities().tolist() == [[0.0, -np.inf]]


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_some_of_the_images(mixing: Mixing) -> None:
    mixture = Mixture(mixing)
    for weight, log_p in zip(_WEIGHTS, _log_probabilities(4, 5, 3), strict=True):
        mixture.add(float(weight), log_p)
    chosen = np.array([True, False, True, True, False])
    whole = mixture.probabilities()
    np.testing.assert_array_equal(mixture.images(chosen).probabilities(), whole[chosen])
    np.testing.assert_array_equal(mixture.images(slice(1, 3)).probabilities(), whole[1:3])


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_no_image(mixing: Mixing) -> None:
    mixture = Mixture(mixing)
    mixture.add(0.5, np.zeros((0, 3)), 2.0)
    mixture.add(0.5, np.zeros((0, 3)), 0.01)
    assert mixture.log_probabilities().shape == mixture.probabilities().shape == (0, 3)


@pytest.mark.parametrize("given", [0, 1, 3])
def test_a_member_too_few_or_too_many_is_not_passed_over(given: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        mix([np.ones((1, 2, 1))] * given, [(0.5,), (0.5,)], "arithmetic")


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 1.7, 40.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tempered_is_the_softmax_of_the_quotient(temperature: float, dtype: type) -> None:
    values = _log_probabilities(2, 7, 5).astype(dtype)
    before = values.copy()
    found = tempered(values, temperature)
    power = np.exp(before.astype(np.longdouble) / temperature)
    expected = np.log(power / power.sum(axis=-1, keepdims=True)).astype(np.float64)
    np.testing.assert_allclose(found, expected, atol=2e-5 if dtype is np.float32 else 1e-12)
    np.testing.assert_array_equal(values, before)


def test_each_view_may_have_its_own_temperature() -> None:
    values = _log_probabilities(3, 4, 6)
    temperatures = np.array([0.5, 1.0, 2.0])[:, None, None]
    found = tempered(values, temperatures)
    for view, temperature in enumerate(temperatures.ravel()):
        np.testing.assert_allclose(found[view], tempered(values[view], temperature))


def test_temperature_one_leaves_probabilities_alone() -> None:
    values = _log_probabilities(9, 4)
    np.testing.assert_allclose(tempered(values, 1.0), values, atol=1e-12)


def test_tempered_bears_probabilities_of_zero() -> None:
    found = tempered(np.array([[0.0, -np.inf], [-2000.0, -2001.0]]), 0.5)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1)
    assert found[0].tolist() == [0.0, -np.inf]


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

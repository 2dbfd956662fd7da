"""Reweighting by confidence, against values that depend on the confidence in a known way."""

import numpy as np
import pytest

from carvision.ensembling.strata import Strata

_ONCE = np.ones((1, 3000))
_CONFIDENCE = np.random.default_rng(0).beta(4, 2, 3000)


def test_the_same_photos_have_the_same_mean() -> None:
    values = np.random.default_rng(1).exponential(1, 3000)
    strata = Strata.of(_CONFIDENCE, _CONFIDENCE)
    np.testing.assert_allclose(strata.shares.sum(axis=1), 1)
    assert strata.test_shares.sum() == pytest.approx(1)
    assert strata.reweighted(values, _ONCE)[0] == pytest.approx(values.mean())


def test_a_value_that_follows_the_confidence_is_predicted_for_other_photos() -> None:
    test = np.random.default_rng(2).beta(2, 2, (2, 4000))
    strata = Strata.of(_CONFIDENCE, test)
    found = strata.reweighted(1 - _CONFIDENCE, _ONCE)[0]
    assert found == pytest.approx(1 - test.mean(), abs=0.03)
    assert abs(found - (1 - _CONFIDENCE).mean()) > 0.1
    middle = (_CONFIDENCE > 0.45) & (_CONFIDENCE < 0.85)
    smoothed = strata.smoothed(1 - _CONFIDENCE)
    np.testing.assert_allclose(smoothed[middle], 1 - _CONFIDENCE[middle], atol=0.05)


def test_a_rounding_error_of_confidence_moves_nothing() -> None:
    confidence = np.repeat([0.3, 0.6, 0.9], 1000)
    values = np.random.default_rng(3).exponential(1, 3000)
    strata = Strata.of(confidence, confidence)
    moved = Strata.of(confidence, confidence + 6e-8)
    difference = moved.reweighted(values, _ONCE) - strata.reweighted(values, _ONCE)
    assert abs(difference[0]) < 1e-5


def test_photos_count_as_often_as_they_are_drawn() -> None:
    values = np.arange(3000) % 7.0
    times = np.random.default_rng(4).integers(0, 3, (2, 3000)).astype(float)
    strata = Strata.of(_CONFIDENCE, _CONFIDENCE)
    for draw, found in zip(times.astype(int), strata.reweighted(values, times), strict=True):
        repeated = np.repeat(_CONFIDENCE, draw)
        # At the same knots, the drawn photos written out.
        shares = np.repeat(strata.shares, draw, axis=0)
        expected = Strata(shares, strata.test_shares)
        once = np.ones((1, len(repeated)))
        assert found == pytest.approx(expected.reweighted(np.repeat(values, draw), once)[0])

"""Average thresholded confidence, against its definition."""

import numpy as np
import pytest

from carvision.ensembling.thresholded_confidence import ThresholdedConfidence

_GENERATOR = np.random.default_rng(0)
_CONFIDENCE = _GENERATOR.uniform(0.2, 1, 2000)
_CORRECT = (_GENERATOR.random(2000) < _CONFIDENCE).astype(float)
_ONCE = np.ones((1, 2000))


def test_the_same_photos_have_their_accuracy() -> None:
    found = ThresholdedConfidence(_CONFIDENCE, _CONFIDENCE).accuracy(_CORRECT, _ONCE)
    assert found[0] == pytest.approx(_CORRECT.mean(), abs=1e-3)


def test_it_is_the_share_above_the_threshold() -> None:
    test = np.random.default_rng(1).uniform(0, 1, 3000)
    threshold = np.quantile(_CONFIDENCE, 1 - _CORRECT.mean())
    estimate = ThresholdedConfidence(_CONFIDENCE, test)
    assert estimate.accuracy(_CORRECT, _ONCE)[0] == pytest.approx(
        (test > threshold).mean(), abs=2e-3
    )
    above = estimate.is_above(_CORRECT)
    assert (above == (threshold <= _CONFIDENCE)).mean() > 0.998


def test_a_draw_counts_photos_several_times() -> None:
    times = np.random.default_rng(2).integers(0, 3, (1, 2000)).astype(float)
    draw = times[0].astype(int)
    drawn = ThresholdedConfidence(np.repeat(_CONFIDENCE, draw), _CONFIDENCE)
    expected = drawn.accuracy(np.repeat(_CORRECT, draw), np.ones((1, draw.sum())))
    found = ThresholdedConfidence(_CONFIDENCE, _CONFIDENCE).accuracy(_CORRECT, times)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(("correct", "expected"), [(0.0, 0.0), (1.0, 0.5)])
def test_all_right_and_all_wrong(correct: float, expected: float) -> None:
    """One of the two test photos has less confidence than any known photo."""
    estimate = ThresholdedConfidence(_CONFIDENCE, np.array([[0.1, 0.9]]))
    found = estimate.accuracy(np.full(2000, correct), _ONCE)[0]
    assert found == pytest.approx(expected, abs=1e-3)

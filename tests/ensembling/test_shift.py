"""The comparison of confidence on test photos and out of fold, and its warning."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from carvision.ensembling.shift import Shift


def test_it_is_scipys_test_of_each_photo_once() -> None:
    generator = np.random.default_rng(0)
    oof, test = generator.beta(5, 1, 300), generator.beta(3, 1, (2, 5))
    once = [test[0, 0], test[1, 1], test[0, 2], test[1, 3], test[0, 4]]
    expected = ks_2samp(oof, once)
    found = Shift.between(oof, test)
    assert (found.distance, found.p_value) == (expected.statistic, expected.pvalue)
    assert found.oof_confidence == pytest.approx(oof.mean())
    assert found.test_confidence == pytest.approx(test.mean())


@pytest.mark.parametrize(
    ("distance", "p_value", "warned"),
    [
        (0.3, 1e-6, True),
        # A small difference of many photos is significant; a large one of few may be chance.
        (0.02, 1e-6, False),
        (0.3, 0.2, False),
    ],
)
def test_both_size_and_significance_count(distance: float, p_value: float, warned: bool) -> None:
    warning = Shift(distance, p_value, 0.9, 0.7).warning
    assert (warning is not None) == warned
    if warning:
        assert "less sure of them (0.700 on average, 0.900 out of fold" in warning
        assert "differ by up to 30%" in warning


def test_a_difference_that_does_not_move_the_forecast_gives_no_warning() -> None:
    assert Shift(0.3, 1e-6, 0.977, 0.975, move=0.8).warning is None
    assert Shift(0.3, 1e-6, 0.9, 0.6, move=12.0).warning is not None


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rounding_near_one_is_no_shift(dtype: type) -> None:
    """For certain models: float32 has sixteen numbers between 1 - 1e-6 and 1."""
    oof = 1 - 10 ** np.random.default_rng(0).uniform(-12, -6.5, 2000)
    assert ks_2samp(oof, oof.astype(np.float32)).statistic > 0.1
    found = Shift.between(oof, oof.astype(dtype)[None])
    assert found.distance < 0.02
    assert found.warning is None

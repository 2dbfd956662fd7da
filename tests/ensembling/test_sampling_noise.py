"""The noise of a test's score, against standard errors and SciPy's interval."""

import numpy as np
import pytest
from scipy.stats import binomtest

from carvision.ensembling.sampling_noise import accuracy_interval, loss_deviations
from carvision.ensembling.strata import Strata


@pytest.mark.parametrize("images", [50, 1000])
def test_deviations_have_the_standard_error_of_the_mean(images: int) -> None:
    """All photos have the same confidence, so that they are one stratum."""
    losses = np.random.default_rng(0).exponential(1, 2000)
    strata = Strata.of(np.full(2000, 0.7), np.full(images, 0.7))
    found = loss_deviations(losses, strata, images, 4000, np.random.default_rng(1))
    error = losses.std() / np.sqrt(images)
    assert found.mean() == pytest.approx(0, abs=4 * error / np.sqrt(4000))
    assert found.std() == pytest.approx(error, rel=0.05)


def test_strata_lower_the_noise() -> None:
    """Where the confidence tells the loss, only the noise within a stratum is left."""
    confidence = np.random.default_rng(2).uniform(0.2, 1, 2000)
    strata = Strata.of(confidence, confidence)
    generator = np.random.default_rng(3)
    found = loss_deviations(1 - confidence, strata, 1000, 2000, generator)
    assert found.std() < 0.5 * confidence.std() / np.sqrt(1000)


@pytest.mark.parametrize(("right", "images"), [(0, 20), (17, 20), (500, 1000), (30, 30)])
def test_the_accuracy_interval_contains_wilsons(right: int, images: int) -> None:
    """It equals Wilson's where the expectation is certain, as of very many known photos."""
    share = right / images
    expected = np.full(2001, share)
    low, high = accuracy_interval(expected, 10**9, images, 0.9, np.random.default_rng(4))
    wilson = binomtest(right, images).proportion_ci(0.9, method="wilson")
    assert low <= wilson.low + 1e-9 and high >= wilson.high - 1e-9
    assert low == pytest.approx(wilson.low, abs=2 / images)
    assert high == pytest.approx(wilson.high, abs=2 / images)


def test_an_uncertain_expectation_widens_the_interval() -> None:
    certain = np.full(1001, 0.8)
    uncertain = np.append(0.8, np.random.default_rng(5).normal(0.8, 0.05, 1000))
    narrow, wide = (
        accuracy_interval(expected, 1000, 500, 0.9, np.random.default_rng(6))
        for expected in (certain, uncertain)
    )
    assert wide[0] < narrow[0] and narrow[1] < wide[1]

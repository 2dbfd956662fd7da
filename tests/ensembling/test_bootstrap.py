"""The bootstrap interval, against the normal one."""

import numpy as np
import pytest

from carvision.ensembling.bootstrap import bootstrap_interval


def test_the_interval_is_the_normal_one_for_many_photos() -> None:
    losses = np.random.default_rng(0).exponential(1.0, 4000)
    low, high = bootstrap_interval(losses, range(4000), seed=0)
    half = 1.645 * losses.std() / np.sqrt(4000)
    assert low == pytest.approx(losses.mean() - half, rel=0.02)
    assert high == pytest.approx(losses.mean() + half, rel=0.02)


def test_copies_widen_the_interval() -> None:
    """Four copies of each photo add no information."""
    losses = np.repeat(np.random.default_rng(1).exponential(1.0, 500), 4)
    groups = np.repeat(np.arange(500), 4)
    apart = bootstrap_interval(losses, range(2000), seed=0)
    together = bootstrap_interval(losses, groups.tolist(), seed=0)
    assert together[1] - together[0] == pytest.approx(2 * (apart[1] - apart[0]), rel=0.1)

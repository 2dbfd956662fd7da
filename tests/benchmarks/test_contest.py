"""Contenders take turns in processes of their own."""

import time
from functools import partial

import numpy as np
import pytest

from carvision.benchmarks.contest import contest


def _build_sleeper(seconds, items):
    def run():
        time.sleep(seconds)
        return items

    return run


def _build_eater(mebibytes):
    def run():
        np.ones(mebibytes * 2**20, dtype=np.uint8)
        return 1

    return run


def _build_failure():
    raise ValueError("no such photos")


def test_the_median_rate_and_the_own_peak():
    done = []
    contenders = {
        "quick": partial(_build_sleeper, 0.02, 10),
        "slow": partial(_build_sleeper, 0.2, 10),
        "eater": partial(_build_eater, 400),
    }
    results = contest(contenders, 3, done.append)
    assert sum(done) == 9
    assert 200 < results["quick"].rate <= 500
    assert 25 < results["slow"].rate <= 50
    assert results["eater"].memory - results["quick"].memory > 300 * 2**20


def test_a_contender_that_fails_is_named():
    with pytest.raises(RuntimeError, match="'broken' failed"):
        contest({"broken": _build_failure}, 1)

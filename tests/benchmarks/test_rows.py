"""Ratios are in our favour above 1, and targets hold from their own value on."""

import pytest

from carvision.benchmarks.rows import Row


@pytest.mark.parametrize(("target", "holds"), [(None, None), (2.0, True), (2.1, False)])
def test_more_is_better(target, holds):
    row = Row.more_is_better("files", 100.0, "images/s", "timm", 50.0, target)
    assert (row.ratio, row.target, row.holds) == (2.0, target, holds)


def test_less_is_better():
    assert Row.less_is_better("memory", 50.0, "MiB", "timm", 100.0).ratio == 2.0


@pytest.mark.parametrize(("value", "holds"), [(119.0, True), (120.0, True), (121.0, False)])
def test_within(value, holds):
    row = Row.within("scan", value, "s", 120)
    assert (row.rival, row.ratio, row.holds) == (None, None, holds)

"""Ratios are in our favour above 1, and targets hold from their own value on."""

import pytest

from carvision.benchmarks.rows import Row


@pytest.mark.parametrize(("target", "holds"), [(None, None), (2.0, True), (2.1, False)])
@pytest.mark.parametrize(
    ("unit", "value", "rival_value"), [("images/s", 100.0, 50.0), ("MiB", 50.0, 100.0)]
)
def test_against_a_rival(unit, value, rival_value, target, holds):
    row = Row.against("files", value, unit, "timm", rival_value, target)
    assert (row.ratio, row.target, row.holds) == (2.0, target, holds)


@pytest.mark.parametrize(("value", "holds"), [(119.0, True), (120.0, True), (121.0, False)])
def test_within(value, holds):
    row = Row.within("scan", value, "s", 120)
    assert (row.rival, row.ratio, row.holds) == (None, None, holds)

"""The blends that are tried first."""

import pytest

from carvision.ensembling.blend_starts import affordable_starts, best_temperature
from tests.ensembling.conftest import everything, scorer_of
from tests.ensembling.synthetic import SyntheticMembers


def test_the_best_affordable_subset_is_tried_first() -> None:
    table = SyntheticMembers(
        photos=300, skills=(4.0, 1.0, 3.0, 2.0), costs=(9.0, 1.0, 2.0, 2.0)
    ).table()
    scorer = scorer_of(table)
    first = affordable_starts(scorer, everything(scorer), 4.0)
    inside = [
        {pair for pair, on in zip(table.candidates, blend.admitted, strict=True) if on}
        for blend in first.values()
    ]
    assert {("m2", "original"), ("m3", "original")} in inside
    assert not any(member == "m0" for pairs in inside for member, _ in pairs)


@pytest.mark.parametrize("known", [0.6, 1.0, 1.5, 3.0])
def test_a_known_temperature_is_recovered(known: float) -> None:
    """Calibrated predictions are sharpened by a factor, which is then the best temperature."""
    table = SyntheticMembers(photos=8000, skills=(2.0, 2.5), temperatures=(known, 1.0)).table()
    scorer = scorer_of(table)
    assert best_temperature(scorer, everything(scorer), 0) == pytest.approx(known, rel=0.08)
    assert best_temperature(scorer, everything(scorer), 1) == pytest.approx(1.0, rel=0.08)

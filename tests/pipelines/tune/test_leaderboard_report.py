"""The duality gap that a tune run logs."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carvision.ensembling.blend import Blend
from carvision.ensembling.exact import exact_weights
from carvision.ensembling.leaderboard import FittedBlend
from carvision.pipelines.tune.leaderboard_report import proved_gap
from tests.ensembling.conftest import everything, scorer_of
from tests.ensembling.synthetic import SyntheticMembers


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"temperatures": (0.5, 2.0)}, "exact/duality_gap"),
        ({"admitted": (True, False, False) * 2}, "exact/duality_gap"),
        ({"shrinkage": 0.1}, "exact/duality_gap_untempered"),
        ({"mixing": "geometric"}, "exact/duality_gap_untempered"),
        ({"rule": "greedy"}, "exact/duality_gap_untempered"),
    ],
)
def test_the_gap_is_of_the_registered_weights_where_these_are_exact(
    changes: dict[str, Any], name: str
) -> None:
    scorer = scorer_of(SyntheticMembers(photos=200).table())
    rows = everything(scorer)
    plain, blend = (replace(Blend.plain(scorer.table, "exact"), **own) for own in ({}, changes))
    tuned, simple = (
        FittedBlend.of(own, scorer.weights(own, rows), np.zeros(200)) for own in (blend, plain)
    )
    logged = proved_gap(scorer, tuned, simple)
    assert list(logged) == [name]
    proved = blend if name == "exact/duality_gap" else plain
    p = scorer.true_class(proved)[:, np.array(proved.admitted)]
    assert logged[name] == pytest.approx(exact_weights(p).gap, abs=1e-12)


def test_a_large_gap_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    scorer = scorer_of(SyntheticMembers(photos=200).table())
    poor = FittedBlend.of(Blend.plain(scorer.table, "exact"), np.full(6, 1 / 6), np.zeros(200))
    with caplog.at_level(logging.INFO, "carvision"):
        proved_gap(scorer, poor, poor)
    assert "nats above the optimum" in caplog.text

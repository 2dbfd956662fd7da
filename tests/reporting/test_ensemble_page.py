"""The page of a tune run."""

import re

import numpy as np
import optuna
import pytest

from carvision.ensembling.blend import Blend
from carvision.ensembling.leaderboard import FittedBlend, LeaderboardRow
from carvision.ensembling.pareto import MemberSubset
from carvision.reporting.ensemble_page import ensemble_page
from tests.ensembling.conftest import scorer_of
from tests.ensembling.synthetic import SyntheticMembers


@pytest.fixture(scope="module")
def study() -> optuna.Study:
    found = optuna.create_study()
    found.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    return found


@pytest.mark.parametrize("priced", [True, False])
def test_the_page(priced: bool, study: optuna.Study) -> None:
    scorer = scorer_of(SyntheticMembers(photos=60).table())
    blend = Blend("exact", (1.25, 0.8), (True,) * 6, shrinkage=0.5)
    tuned = FittedBlend.of(blend, np.full(6, 1 / 6), np.zeros(60))
    rows = [
        LeaderboardRow("tuned", 0.31, 0.32, 0.9, 0.05, 12.0 if priced else None),
        LeaderboardRow("m0 <original>", 0.41, 0.42, 0.8, 0.06, None),
    ]
    subsets = [MemberSubset(("m0",), 0.4, 3.0, True), MemberSubset(("m1",), 0.5, 9.0, False)]
    page = ensemble_page(scorer, tuned, rows, subsets if priced else [], study)
    assert "<h1>Ensemble of m0, m1</h1>" in page
    assert "60 photos" in page and "shrinkage 0.50" in page and "m0 1.25, m1 0.80" in page
    assert '<tr class="tuned"><td>tuned</td><td class="number">0.3200</td>' in page
    assert "m0 &lt;original&gt;" in page
    assert len(re.findall('src="data:image/png', page)) == (6 if priced else 5)
    # Of the subsets, the table holds those of the front.
    assert ("<td>m0</td>" in page) is priced and "<td>m1</td>" not in page
    assert ("its cost is unknown" in page) is not priced

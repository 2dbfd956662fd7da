"""The leaderboard and the Pareto front, against their definitions."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from carvision.ensembling.blend import Scorer
from carvision.ensembling.exact import exact_weights
from carvision.ensembling.leaderboard import leaderboard, simple_blends
from carvision.ensembling.pareto import score_against_cost
from carvision.ensembling.rules import RULES
from tests.ensembling.conftest import everything, folds_of, scorer_of
from tests.ensembling.synthetic import SyntheticMembers


def test_every_member_and_rule_stands_on_it_the_best_first(scorer: Scorer) -> None:
    crossfit_folds = folds_of(scorer.table)
    standings = leaderboard(scorer, simple_blends(scorer, crossfit_folds))
    assert {each.name for each in standings} == {"m0 original", "m1 original", *RULES}
    nested = [each.nested for each in standings]
    assert nested == sorted(nested)
    exact = next(each for each in standings if each.name == "exact")
    assert exact.fitted <= min(each.fitted for each in standings) + 1e-6
    assert exact.nested >= exact.fitted


def test_scores_are_scikit_learns(scorer: Scorer) -> None:
    table, rows = scorer.table, everything(scorer)
    crossfit_folds = folds_of(table)
    standings = {s.name: s for s in leaderboard(scorer, simple_blends(scorer, crossfit_folds))}
    p = np.exp(table.read(3, rows).astype(np.float64))
    own = standings["m1 original"]
    expected = log_loss(table.targets, p / p.sum(axis=1, keepdims=True), labels=range(6))
    assert own.fitted == pytest.approx(expected, abs=1e-5)
    # A single candidate has no weights to fit.
    assert own.nested == pytest.approx(own.fitted, abs=1e-5)
    assert own.accuracy == pytest.approx((p.argmax(axis=1) == table.targets).mean())
    assert own.cost == 3.0
    assert standings["equal"].cost == 3 * (2.0 + 3.0)


def test_every_subset_is_solved_and_nothing_beats_the_front() -> None:
    scorer = scorer_of(
        SyntheticMembers(
            photos=300, skills=(3.0, 2.0, 1.0, 2.5), costs=(4.0, 1.0, 0.5, 2.0)
        ).table()
    )
    subsets = score_against_cost(scorer, folds_of(scorer.table))
    names = [member.name for member in scorer.table.members]
    every = {m for size in range(1, 5) for m in combinations(names, size)}
    assert {subset.members for subset in subsets} == every
    assert len(subsets) == 15
    for subset in subsets:
        beaten = any(
            other.cost <= subset.cost
            and other.log_loss <= subset.log_loss
            and (other.cost, other.log_loss) != (subset.cost, subset.log_loss)
            for other in subsets
        )
        assert subset.front is not beaten
    assert 1 < sum(subset.front for subset in subsets) < 15


def test_a_view_without_weight_costs_nothing(scorer: Scorer) -> None:
    (alone,) = (
        subset
        for subset in score_against_cost(scorer, folds_of(scorer.table))
        if subset.members == ("m0",)
    )
    used = exact_weights(np.exp(scorer.table.log_true_class[:, :3])).weights > 0
    assert used.tolist() == [True, True, False]
    assert alone.cost == 2 * 2.0


def test_without_costs_there_is_no_front() -> None:
    scorer = scorer_of(SyntheticMembers(photos=60, costs=(1.0, None)).table())
    crossfit_folds = folds_of(scorer.table)
    assert score_against_cost(scorer, crossfit_folds) == []
    assert all(s.cost is None for s in leaderboard(scorer, simple_blends(scorer, crossfit_folds)))

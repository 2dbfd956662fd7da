"""The search for a blend: no worse than any rule, within the budget, robust against zeros."""

from typing import Any

import numpy as np
import pytest

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.blend_starts import affordable_starts, simple_starts
from carvision.ensembling.rules import RULES
from carvision.errors import ConfigError
from tests.ensembling.conftest import everything, folds_of, scorer_of, with_a_zero
from tests.ensembling.searches import cross_fitted_loss, nested_log_p, searched
from tests.ensembling.synthetic import SyntheticMembers


@pytest.mark.parametrize("trials", [1, 15])
def test_no_rule_is_better_however_few_the_trials(scorer: Scorer, trials: int) -> None:
    found = searched(scorer, trials)
    for rule in RULES:
        assert found.value <= cross_fitted_loss(scorer, Blend.plain(scorer.table, rule)) + 1e-12
    assert found.trials >= len(simple_starts(scorer, everything(scorer)))


def test_the_value_is_that_of_the_blend(scorer: Scorer) -> None:
    found = searched(scorer)
    assert cross_fitted_loss(scorer, found.best) == pytest.approx(found.value, abs=1e-9)


@pytest.mark.parametrize("budget", [2.0, 5.0, 7.0])
def test_a_budget_is_kept(scorer: Scorer, budget: float) -> None:
    """A view of the first member costs 2, of the second 3."""
    found = searched(scorer, 40, budget=budget)
    cost = scorer.table.cost
    assert cost is not None
    used = scorer.weights(found.best, everything(scorer)) > 0
    assert cost[used].sum() <= budget
    first = affordable_starts(scorer, everything(scorer), budget).values()
    assert found.value <= min(cross_fitted_loss(scorer, blend) for blend in first) + 1e-9


@pytest.mark.parametrize("budget", [1.0, 2.5])
def test_a_cheap_member_that_is_the_worse_one_is_found(budget: float) -> None:
    """No rule over all candidates uses it alone; the better member exceeds the budget."""
    table = SyntheticMembers(photos=150, skills=(4.0, 1.0), costs=(9.0, 1.0)).table()
    scorer = scorer_of(table)
    found = searched(scorer, 1, budget=budget)
    used = np.flatnonzero(scorer.weights(found.best, everything(scorer)))
    views = [table.candidates[k] for k in used.tolist()]
    assert views == [("m1", "original"), ("m1", "hflip")][: int(budget)]
    nested = nested_log_p(scorer, folds_of(table), trials=1, budget=budget)
    assert 0 < -nested.mean() < np.log(6)


@pytest.mark.parametrize(
    ("options", "costs", "message"),
    [
        ({"trials": 0}, (1.0, 1.0), "trials: expected at least 1, got 0"),
        ({"budget": 1.0}, (2.0, 3.0), "no ensemble costs so little; m0 original alone takes 2 s"),
        ({"budget": 9.0}, (2.0, None), "time to predict was never measured"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    options: dict[str, Any], costs: tuple[float | None, ...], message: str
) -> None:
    scorer = scorer_of(SyntheticMembers(photos=60, costs=costs).table())
    with pytest.raises(ConfigError, match=message):
        searched(scorer, **options)


def test_one_member_and_one_view() -> None:
    table = SyntheticMembers(
        skills=(3.0,), views=("original",), view_shift=(0.0,), temperatures=(2.0,), photos=3000
    ).table()
    found = searched(scorer_of(table), 30)
    assert found.best.admitted == (True,)
    assert found.best.temperatures[0] == pytest.approx(2.0, rel=0.15)


def test_a_zero_on_the_truth_gives_a_finite_loss() -> None:
    """The first member gives the true class of a photo no probability."""
    scorer = scorer_of(with_a_zero(SyntheticMembers(photos=100).table()))
    found = searched(scorer, 15)
    assert np.isfinite(found.value)
    nested = nested_log_p(scorer, folds_of(scorer.table), trials=12)
    assert not np.isnan(nested).any()


def test_known_temperatures_are_recovered_in_a_mixture() -> None:
    """One member is overconfident and the other underconfident."""
    table = SyntheticMembers(photos=4000, skills=(3.0, 3.0), temperatures=(2.5, 0.5)).table()
    scorer = scorer_of(table)
    plain = cross_fitted_loss(scorer, Blend.plain(table, "exact"))
    found = searched(scorer, 60)
    assert found.value < plain - 0.02
    assert found.best.temperatures[0] > 1.5 * found.best.temperatures[1]

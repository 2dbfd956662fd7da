"""Blends that a search tries first: every weight rule, and subsets within a budget."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.mix import mixture_log_loss
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.rules import RULES
from carvision.ensembling.temperature_grid import COLDEST, HOTTEST
from carvision.metrics import log_loss_of_true_class

#: Photos that affordable blends are ranked on; the best are then scored on all photos.
_RANKING_PHOTOS: Final = 4096
#: Affordable subsets of several members that are tried first.
_AFFORDABLE: Final = 5


def simple_starts(scorer: Scorer, rows: NDArray[np.int64]) -> dict[str, Blend]:
    """Every rule as it is, and both ways of mixing at each member's best temperature."""
    table = scorer.table
    rules = {rule: Blend.plain(table, rule) for rule in RULES}
    tempered = replace(rules["exact"], temperatures=_best_temperatures(scorer, rows))
    return rules | {
        "exact, tempered": tempered,
        "exact, geometric": replace(tempered, mixing="geometric"),
        "equal, geometric": replace(tempered, rule="equal", mixing="geometric"),
    }


def affordable_starts(scorer: Scorer, rows: NDArray[np.int64], budget: float) -> dict[str, Blend]:
    """Exact weights over some members and views within a budget, which perhaps no rule meets.

    Each member that is within the budget, with its first view and with all of them; then the best
    few subsets of several members, likewise.
    """
    table = scorer.table
    some = rows[:: -(-len(rows) // _RANKING_PHOTOS)]
    tempered = replace(Blend.plain(table, "exact"), temperatures=_best_temperatures(scorer, rows))
    p = scorer.true_class(tempered)[some]

    def affordable(sizes: Iterable[int]) -> list[Blend]:
        found = []
        for admitted in _admissions(table, sizes):
            blend = replace(tempered, admitted=admitted)
            weights = blend.fit(p, table.plan_weights)
            if cost_of(table, weights) <= budget:
                found.append((mixture_log_loss(p, weights), blend))
        return [blend for _, blend in sorted(found, key=lambda one: one[0])]

    several = affordable(range(2, len(table.members) + 1))[:_AFFORDABLE]
    return {f"affordable {i}": blend for i, blend in enumerate(affordable([1]) + several)}


def cost_of(table: OofTable, weights: NDArray[np.float64]) -> float:
    """Seconds for 1,000 photos of the candidates whose weight is not zero."""
    assert table.cost is not None  # a budget without known costs is refused
    return float(table.cost[weights > 0].sum())


def best_temperature(scorer: Scorer, rows: NDArray[np.int64], member: int) -> float:
    """The temperature at which a member's first view alone has the lowest log loss on ``rows``."""
    candidate = int(np.argmax(scorer.table.member_of == member))

    def loss(log_temperature: float) -> float:
        each = np.full(len(scorer.table.members), np.exp(log_temperature))
        return log_loss_of_true_class(scorer.grid.at(each)[rows, candidate])

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _best_temperatures(scorer: Scorer, rows: NDArray[np.int64]) -> tuple[float, ...]:
    members = range(len(scorer.table.members))
    return tuple(best_temperature(scorer, rows, member) for member in members)


def _admissions(table: OofTable, sizes: Iterable[int]) -> Iterator[tuple[bool, ...]]:
    """The subsets of so many members, with the first of their views and with all of them."""
    members = table.member_of
    first = np.append(-1, members[:-1]) != members
    for size in sizes:
        for chosen in combinations(range(len(table.members)), size):
            inside = np.isin(members, chosen)
            yield tuple((inside & first).tolist())
            yield tuple(inside.tolist())

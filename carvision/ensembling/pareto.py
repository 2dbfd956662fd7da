"""The Pareto front of score and cost over every subset of the members."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from carvision.ensembling.blend import Blend, Scorer
from carvision.metrics import log_loss_of_true_class


@dataclass(frozen=True)
class MemberSubset:
    """Some members, mixed with exact weights.

    ``log_loss`` is cross-fitted, ``cost`` in seconds for 1,000 photos. ``front`` says whether the
    subset is on the Pareto front: no cheaper one scores as well.
    """

    members: tuple[str, ...]
    log_loss: float
    cost: float
    front: bool


def score_against_cost(
    scorer: Scorer,
    crossfit_folds: NDArray[np.int64],
    advance: Callable[[int], None] = lambda subsets: None,
) -> list[MemberSubset]:
    """Score every subset of the members, the cheapest first; none where a cost is unknown.

    The cost is of the candidates that have a weight: a view without one is never computed.
    ``advance`` is called after each subset.
    """
    table = scorer.table
    if table.cost is None:
        return []
    names = [member.name for member in table.members]
    rows = np.arange(len(table.index))
    found: list[tuple[tuple[str, ...], float, float]] = []
    for size in range(1, len(names) + 1):
        for members in combinations(names, size):
            admitted = tuple(member in members for member, _ in table.candidates)
            blend = Blend("exact", (1.0,) * len(names), admitted)
            loss = log_loss_of_true_class(scorer.cross_fitted(blend, rows, crossfit_folds))
            used = scorer.weights(blend, rows) > 0
            found.append((members, loss, float(table.cost[used].sum())))
            advance(1)
    ordered = sorted(found, key=lambda one: (one[2], one[1]))
    best_so_far = np.minimum.accumulate([loss for _, loss, _ in ordered])
    front = np.concatenate([[True], best_so_far[1:] < best_so_far[:-1]])
    return [MemberSubset(*one, bool(on)) for one, on in zip(ordered, front, strict=True)]

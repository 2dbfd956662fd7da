"""Every way to mix the members, side by side: scores, fitted and nested, calibration, cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.rules import RULES
from carvision.metrics import (
    CLIP,
    accuracy,
    expected_calibration_error,
    log_loss_of_true_class,
)


@dataclass(frozen=True)
class LeaderboardRow:
    """One contestant's scores on the out-of-fold photos.

    ``fitted`` is the log loss by weights fitted on these photos, ``nested`` by weights fitted
    without each photo's fold. ``cost`` is in seconds for 1,000 photos, None where it was never
    measured.
    """

    name: str
    fitted: float
    nested: float
    accuracy: float
    calibration_error: float
    cost: float | None


@dataclass(frozen=True)
class FittedBlend:
    """A blend with the weights to use it with, and the honest log-probability of each truth.

    That is clipped as the metric clips it, so that a mean of it is the score.
    """

    blend: Blend
    weights: NDArray[np.float64]
    nested_log_p: NDArray[np.float64]

    @classmethod
    def of(
        cls, blend: Blend, weights: NDArray[np.float64], nested_log_p: NDArray[np.floating]
    ) -> Self:
        """Clip ``nested_log_p`` ``[images]``."""
        return cls(blend, weights, np.maximum(nested_log_p.astype(np.float64), np.log(CLIP)))


def simple_blends(scorer: Scorer, crossfit_folds: NDArray[np.int64]) -> dict[str, FittedBlend]:
    """Each member's first view alone, and each rule over everything, untempered."""
    table = scorer.table
    rows = np.arange(len(table.index))
    blends: dict[str, Blend] = {}
    for candidate, (member, view) in enumerate(table.candidates):
        if candidate == int(np.argmax(table.member_of == table.member_of[candidate])):
            admitted = tuple(k == candidate for k in range(len(table.candidates)))
            blends[f"{member} {view}"] = Blend("equal", (1.0,) * len(table.members), admitted)
    blends |= {rule: Blend.plain(table, rule) for rule in RULES}
    return {
        name: FittedBlend.of(
            blend, scorer.weights(blend, rows), scorer.cross_fitted(blend, rows, crossfit_folds)
        )
        for name, blend in blends.items()
    }


def leaderboard(
    scorer: Scorer,
    contestants: Mapping[str, FittedBlend],
    advance: Callable[[int], None] = lambda contestants: None,
) -> list[LeaderboardRow]:
    """The contestants, the best nested score first."""
    standings = []
    for name, contestant in contestants.items():
        standings.append(_standing(scorer, name, contestant))
        advance(1)
    return sorted(standings, key=lambda standing: standing.nested)


def _standing(scorer: Scorer, name: str, contestant: FittedBlend) -> LeaderboardRow:
    table = scorer.table
    rows = np.arange(len(table.index))
    blend, weights = contestant.blend, contestant.weights
    log_p = scorer.log_probabilities(blend, weights, rows)
    return LeaderboardRow(
        name,
        fitted=log_loss_of_true_class(log_p[rows, table.targets]),
        nested=log_loss_of_true_class(contestant.nested_log_p),
        accuracy=accuracy(log_p, table.targets),
        calibration_error=expected_calibration_error(log_p, table.targets),
        cost=None if table.cost is None else float(table.cost[weights > 0].sum()),
    )

"""The leaderboard: fitted and nested scores, calibration and cost of every way to mix members."""

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
    """One ensemble's scores on the out-of-fold photos.

    ``fitted`` is the log loss by weights fitted to these photos, ``nested`` by weights fitted
    without the photo's fold. ``cost`` is in seconds for 1,000 photos, None if it was not measured.
    """

    name: str
    fitted: float
    nested: float
    accuracy: float
    calibration_error: float
    cost: float | None


@dataclass(frozen=True)
class FittedBlend:
    """A blend, its weights ``[candidates]``, and its nested predictions.

    ``nested_log_p`` ``[images]`` is the true class's log-probability by an ensemble that never saw
    the photo's fold. It is clipped as the metric clips it, so that its mean is the score.
    """

    blend: Blend
    weights: NDArray[np.float64]
    nested_log_p: NDArray[np.float64]

    @classmethod
    def of(
        cls, blend: Blend, weights: NDArray[np.float64], nested_log_p: NDArray[np.floating]
    ) -> Self:
        """Clip ``nested_log_p``."""
        return cls(blend, weights, np.maximum(nested_log_p.astype(np.float64), np.log(CLIP)))


def simple_blends(scorer: Scorer, crossfit_folds: NDArray[np.int64]) -> dict[str, FittedBlend]:
    """Each member's first view alone, and each rule over all candidates, at temperatures of one."""
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
    blends: Mapping[str, FittedBlend],
    advance: Callable[[int], None] = lambda blends: None,
) -> list[LeaderboardRow]:
    """Score the blends, the best nested score first; ``advance`` is called after each."""
    rows = []
    for name, fitted in blends.items():
        rows.append(_row(scorer, name, fitted))
        advance(1)
    return sorted(rows, key=lambda row: row.nested)


def _row(scorer: Scorer, name: str, fitted: FittedBlend) -> LeaderboardRow:
    table, weights = scorer.table, fitted.weights
    images = np.arange(len(table.index))
    log_p = scorer.log_probabilities(fitted.blend, weights, images)
    return LeaderboardRow(
        name,
        fitted=log_loss_of_true_class(log_p[images, table.targets]),
        nested=log_loss_of_true_class(fitted.nested_log_p),
        accuracy=accuracy(log_p, table.targets),
        calibration_error=expected_calibration_error(log_p, table.targets),
        cost=None if table.cost is None else float(table.cost[weights > 0].sum()),
    )

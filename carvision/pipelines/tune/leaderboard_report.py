"""What a ``tune`` run logs about its ensemble: the leaderboard, scores, subsets, and the page."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.contracts import Score
from carvision.data.tables import spreadsheet_csv
from carvision.ensembling.blend import Scorer
from carvision.ensembling.bootstrap import bootstrap_interval
from carvision.ensembling.exact import duality_gap
from carvision.ensembling.leaderboard import (
    FittedBlend,
    LeaderboardRow,
    leaderboard,
    simple_blends,
)
from carvision.ensembling.pareto import score_against_cost
from carvision.pipelines.tune.methods import TuneResult
from carvision.reporting.console import announce, progress
from carvision.reporting.ensemble_page import ensemble_page
from carvision.reporting.tables import show_leaderboard
from carvision.tracking.outbox.record import log_metrics, log_text

_TUNED: Final = "tuned"
#: Nats. A gap below it needs no message.
_GAP: Final = 1e-8


def log_leaderboard(
    scorer: Scorer,
    crossfit_folds: NDArray[np.int64],
    result: TuneResult,
    fingerprint: str,
    seed: int,
) -> Score:
    """Compare the tuned ensemble with simple ones, log and print the comparison.

    Returns the tuned ensemble's score on the data of ``fingerprint``.
    """
    table = scorer.table
    blends = simple_blends(scorer, crossfit_folds) | {_TUNED: result.tuned}
    with progress("leaderboard", len(blends)) as advance:
        rows = leaderboard(scorer, blends, advance)
    with progress("subsets of the members", 2 ** len(table.members) - 1) as advance:
        subsets = score_against_cost(scorer, crossfit_folds, advance)
    tuned = next(row for row in rows if row.name == _TUNED)
    losses, groups = -result.tuned.nested_log_p, table.index["group"].tolist()
    low, high = bootstrap_interval(losses, groups, seed)
    _log_scores(rows, tuned, (low, high), len(result.study.trials))
    log_metrics(proved_gap(scorer, result.tuned, blends["exact"]))
    show_leaderboard(len(table.index), rows, (low, high))
    log_text(spreadsheet_csv(pd.DataFrame(map(asdict, rows))), "leaderboard.csv")
    log_text(spreadsheet_csv(pd.DataFrame(map(asdict, subsets))), "subsets.csv")
    page = ensemble_page(scorer, result.tuned, rows, subsets, result.study)
    log_text(page, "ensemble.html")
    return Score(
        log_loss=tuned.fitted,
        nested=tuned.nested,
        low=low,
        high=high,
        data=fingerprint,
        folds=tuple(sorted(set(table.index["fold"].astype(int)))),
        images=len(table.index),
    )


def _log_scores(
    rows: Sequence[LeaderboardRow],
    tuned: LeaderboardRow,
    interval: tuple[float, float],
    trials: int,
) -> None:
    log_metrics(
        {
            "oof/log_loss": tuned.fitted,
            "oof/nested_log_loss": tuned.nested,
            "oof/nested_log_loss_low": interval[0],
            "oof/nested_log_loss_high": interval[1],
            "oof/accuracy": tuned.accuracy,
            "trials": float(trials),
        }
        | {f"leaderboard/{row.name.replace(' ', '_')}": row.nested for row in rows}
    )


def proved_gap(scorer: Scorer, tuned: FittedBlend, plain: FittedBlend) -> dict[str, float]:
    """The metric of how far in nats the exact rule's weights can at most be above the optimum.

    These are the ``tuned`` weights, unless they are of another rule, shrunk or mixed geometrically,
    and so no optimum; then it is the ``plain`` exact rule.
    """
    blend = tuned.blend
    exact = (blend.rule, blend.mixing, blend.shrinkage) == ("exact", "arithmetic", 0)
    proved = tuned if exact else plain
    chosen = np.flatnonzero(proved.blend.admitted)
    gap = duality_gap(scorer.true_class(proved.blend)[:, chosen], proved.weights[chosen])
    if gap > _GAP:
        announce(f"exact weights may be up to {gap:.1g} nats above the optimum")
    return {"exact/duality_gap" if exact else "exact/duality_gap_untempered": gap}

"""The page of a ``tune`` run: leaderboard, weights, cost, study."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna

from carvision.ensembling.blend import Scorer
from carvision.ensembling.leaderboard import FittedBlend, LeaderboardRow
from carvision.ensembling.pareto import MemberSubset
from carvision.reporting.ensemble_plots import (
    errors_plot,
    front_plot,
    history_plot,
    importance_plot,
    reliability_plot,
    weights_plot,
)
from carvision.reporting.html import plot_uri, rendered


def ensemble_page(
    scorer: Scorer,
    tuned: FittedBlend,
    standings: Sequence[LeaderboardRow],
    subsets: Sequence[MemberSubset],
    study: optuna.Study,
) -> str:
    """Render the page as one HTML file with its plots."""
    table = scorer.table
    rows = np.arange(len(table.index))
    plain = replace(tuned.blend, temperatures=(1.0,) * len(table.members))
    curves = {}
    for name, blend in (("temperatures of 1", plain), ("tuned", tuned.blend)):
        log_p = scorer.log_probabilities(blend, tuned.weights, rows)
        curves[name] = (np.exp(log_p.max(axis=1)), log_p.argmax(axis=1) == table.targets)
    importance = importance_plot(study)
    return rendered(
        "ensemble.html.j2",
        members=[member.name for member in table.members],
        photos=f"{len(rows):,}",
        blend=tuned.blend,
        standings=standings,
        front=[subset for subset in subsets if subset.front],
        weights_plot=plot_uri(weights_plot(table, tuned)),
        front_plot=plot_uri(front_plot(subsets)) if subsets else "",
        errors_plot=plot_uri(errors_plot(table)),
        reliability_plot=plot_uri(reliability_plot(curves)),
        history_plot=plot_uri(history_plot(study)),
        importance_plot="" if importance is None else plot_uri(importance),
    )

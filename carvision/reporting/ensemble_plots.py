"""Plots of an ensemble: weights by view, members' errors, calibration, cost, the study."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.importance import get_param_importances
from optuna.trial import TrialState

from carvision.contracts import VIEWS
from carvision.ensembling.leaderboard import FittedBlend
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.pareto import MemberSubset
from carvision.metrics import CLIP

_BLUE: Final = "#4c78a8"
_ORANGE: Final = "#f58518"
_BINS: Final = 15


def weights_plot(table: OofTable, tuned: FittedBlend) -> Figure:
    """The weight of each member's views."""
    names = [member.name for member in table.members]
    matrix = np.zeros((len(names), len(VIEWS)))
    for (member, view), weight in zip(table.candidates, tuned.weights, strict=True):
        matrix[names.index(member), VIEWS.index(view)] = weight
    return _matrix(matrix, names, VIEWS, "Blues", (0, max(1e-9, float(matrix.max()))))


def errors_plot(table: OofTable) -> Figure:
    """Correlation of the members' losses, photo by photo: the less, the more they add."""
    first = [int(np.argmax(table.member_of == k)) for k in range(len(table.members))]
    names = [member.name for member in table.members]
    # A zero probability counts as the metric's clip: infinite losses have no correlation.
    log_p = np.maximum(table.log_true_class[:, first], np.log(CLIP))
    matrix = np.atleast_2d(np.corrcoef(log_p.T))
    return _matrix(matrix, names, names, "Oranges", (0, 1))


def reliability_plot(curves: dict[str, tuple[NDArray[np.floating], NDArray[np.bool_]]]) -> Figure:
    """Accuracy by confidence: ``(confidence, correct)`` of each photo, for each curve's name."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999", linewidth=1)
    for (name, (confidence, correct)), color in zip(curves.items(), (_ORANGE, _BLUE), strict=False):
        which = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
        counts = np.bincount(which, minlength=_BINS)
        used = counts > 0
        mean = [
            np.bincount(which, values, _BINS)[used] / counts[used]
            for values in (confidence, correct)
        ]
        axes.plot(*mean, marker="o", color=color, label=name)
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return figure


def front_plot(subsets: Sequence[MemberSubset]) -> Figure:
    """Score against cost of every subset; those on the front are named by number."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for front, color, name in (
        (False, "#bbb", "a subset"),
        (True, _BLUE, "none is cheaper and better"),
    ):
        chosen = [subset for subset in subsets if subset.front is front]
        axes.scatter(
            [s.cost for s in chosen], [s.log_loss for s in chosen], color=color, label=name
        )
    axes.set(xlabel="seconds for 1,000 photos", ylabel="cross-fitted log loss")
    axes.legend()
    return figure


def history_plot(study: optuna.Study) -> Figure:
    """Each trial's value, and the best so far."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = np.array([trial.value for trial in complete], dtype=np.float64)
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.scatter([trial.number for trial in complete], values, s=12, color="#bbb")
    axes.plot([trial.number for trial in complete], np.minimum.accumulate(values), color=_BLUE)
    # The worst trials would flatten what matters.
    axes.set(xlabel="trial", ylabel="log loss", ylim=_shown(values))
    return figure


def importance_plot(study: optuna.Study) -> Figure | None:
    """How much each parameter decides; None while there are too few trials to tell."""
    try:
        importance = get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    except (ValueError, RuntimeError):
        return None
    shown = list(importance.items())[:12][::-1]
    figure = Figure(figsize=(7, 0.6 + 0.3 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in shown], [share for _, share in shown], color=_BLUE)
    axes.set(xlabel="importance")
    return figure


def _shown(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(np.quantile(values, 0.9))
    margin = max(1e-6, 0.1 * (high - low))
    return low - margin, high + margin


def _matrix(
    matrix: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    colors: str,
    limits: tuple[float, float],
) -> Figure:
    figure = Figure(figsize=(2.5 + 0.9 * len(columns), 1.2 + 0.5 * len(rows)), layout="constrained")
    axes: Axes = figure.subplots()
    axes.imshow(matrix, cmap=colors, vmin=limits[0], vmax=limits[1], aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    for i, j in np.ndindex(*matrix.shape):
        dark = matrix[i, j] > 0.6 * limits[1]
        axes.text(
            j, i, f"{matrix[i, j]:.2f}", ha="center", va="center", color="white" if dark else "#222"
        )
    return figure

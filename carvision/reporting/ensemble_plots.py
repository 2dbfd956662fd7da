"""Plots of an ensemble: weights by view, members' errors, calibration, cost, the study."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import optuna
from matplotlib import pyplot, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import TrialState
from optuna.visualization.matplotlib import plot_optimization_history, plot_param_importances
from sklearn.calibration import calibration_curve

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
    """Correlation of the members' losses over the photos: members of low correlation add most."""
    first = [int(np.argmax(table.member_of == k)) for k in range(len(table.members))]
    names = [member.name for member in table.members]
    # Clipped as the metric is: infinite losses have no correlation.
    log_p = np.maximum(table.log_true_class[:, first], np.log(CLIP))
    matrix = np.atleast_2d(np.corrcoef(log_p.T))
    return _matrix(matrix, names, names, "Oranges", (0, 1))


def reliability_plot(curves: dict[str, tuple[NDArray[np.floating], NDArray[np.bool_]]]) -> Figure:
    """Accuracy by confidence: ``(confidence, correct)`` of each photo, for each curve's name."""
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#999", linewidth=1)
    for (name, (confidence, correct)), color in zip(curves.items(), (_ORANGE, _BLUE), strict=False):
        # An exponential may round to just above one.
        right, mean = calibration_curve(correct, np.minimum(confidence, 1.0), n_bins=_BINS)
        axes.plot(mean, right, marker="o", color=color, label=name)
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    return figure


def front_plot(subsets: Sequence[MemberSubset]) -> Figure:
    """Score against cost of every subset, with those on the Pareto front in another colour."""
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
    """The value of each trial, and the best so far."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = np.array([trial.value for trial in complete], dtype=np.float64)
    # Optuna sets a style of matplotlib's, which ends with the block.
    with rc_context():
        axes = plot_optimization_history(study, target_name="log loss")
        # The worst trials would flatten the differences between the good ones.
        low, high = float(values.min()), float(np.quantile(values, 0.9))
        room = 0.1 * (high - low) + 1e-6
        axes.set_ylim(low - room, high + room)
        return _sized(axes, (7, 3.5))


def importance_plot(study: optuna.Study) -> Figure | None:
    """The share of each parameter in the values' variation; None if there are too few trials."""
    # Earlier versions of Optuna refuse a study of no trials, or of one.
    try:
        with rc_context():
            axes = plot_param_importances(
                study, PedAnovaImportanceEvaluator(), target_name="log loss"
            )
            return _sized(axes, (7, 1 + 0.3 * len(axes.get_yticks())))
    except (ValueError, RuntimeError):
        return None


def _sized(axes: Axes, inches: tuple[float, float]) -> Figure:
    """The figure of ``axes``, which pyplot forgets."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # these axes were drawn in one
    figure.set_layout_engine("constrained")
    figure.set_size_inches(*inches)
    pyplot.close(figure)
    return figure


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

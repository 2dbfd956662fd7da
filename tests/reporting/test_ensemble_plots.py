"""The plots of a tune run."""

import warnings
from io import BytesIO

import numpy as np
import optuna
import pytest
from matplotlib import pyplot, rcParams
from matplotlib.figure import Figure

from carvision.ensembling.pareto import MemberSubset
from carvision.library_settings import set_up_libraries
from carvision.metrics import expected_calibration_error
from carvision.reporting.ensemble_plots import (
    errors_plot,
    front_plot,
    history_plot,
    importance_plot,
    reliability_plot,
)
from tests.ensembling.conftest import with_a_zero
from tests.ensembling.synthetic import SyntheticMembers


def _study(trials: int) -> optuna.Study:
    """``trials`` whose values hang on ``x`` and hardly on ``y``; the last one is very bad."""
    study = optuna.create_study()
    generator = np.random.default_rng(0)
    space = dict.fromkeys("xy", optuna.distributions.FloatDistribution(0, 1))
    for number in range(trials):
        values = dict(zip("xy", generator.uniform(size=2), strict=True))
        value = values["x"] + 0.01 * values["y"] + (100 if number == trials - 1 else 0)
        study.add_trial(optuna.trial.create_trial(params=values, distributions=space, value=value))
    return study


def _drawn(figure: Figure) -> Figure:
    figure.savefig(BytesIO(), format="png")
    return figure


def test_a_studys_history_shows_the_good_trials() -> None:
    study = _study(40)
    figure = _drawn(history_plot(study))
    low, high = figure.axes[0].get_ylim()
    assert low < study.best_value < high < 2


def test_a_parameter_that_decides_has_the_longest_bar() -> None:
    figure = importance_plot(_study(40))
    assert figure is not None
    axes = _drawn(figure).axes[0]
    widths = dict(
        zip(
            (label.get_text() for label in axes.get_yticklabels()),
            (bar.get_width() for bar in axes.patches),
            strict=True,
        )
    )
    assert widths["x"] > 10 * widths["y"]


def test_a_single_trial_is_no_error() -> None:
    assert len(history_plot(_study(1)).axes) == 1
    # Whether anything can be said of its parameters depends on Optuna's version.
    figure = importance_plot(_study(1))
    assert figure is None or len(figure.axes) == 1


def test_optunas_plots_leave_nothing_behind() -> None:
    style, figures = dict(rcParams), pyplot.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        set_up_libraries()
        history_plot(_study(10))
        importance_plot(_study(10))
    assert (dict(rcParams), pyplot.get_fignums()) == (style, figures)


def test_reliability_is_that_of_the_calibration_error() -> None:
    generator = np.random.default_rng(1)
    confidence = generator.uniform(0.5, 1, 500)
    correct = generator.uniform(size=500) < confidence**2
    figure = _drawn(reliability_plot({"one": (confidence, correct)}))
    _, line = figure.axes[0].get_lines()
    mean, right = np.asarray(line.get_data(), dtype=float)
    which = np.unique(np.ceil(confidence * 15))
    assert len(mean) == len(which)
    counts = [(np.ceil(confidence * 15) == each).sum() for each in which]
    log_p = np.log(np.stack([confidence, 1 - confidence], axis=1))
    expected = expected_calibration_error(log_p, np.where(correct, 0, 1))
    assert np.abs(right - mean) @ counts / 500 == pytest.approx(expected)


@pytest.mark.parametrize("right", [True, False])
def test_photos_that_are_all_right_or_all_wrong(right: bool) -> None:
    # In float32 an exponential may be just above one.
    confidence = np.array([0.2, 0.9, np.nextafter(np.float32(1), np.float32(2))], np.float32)
    figure = reliability_plot({"one": (confidence, np.full(3, right))})
    _, line = figure.axes[0].get_lines()
    assert set(np.asarray(line.get_ydata(), dtype=float)) == {float(right)}


def test_the_front_is_drawn_apart() -> None:
    subsets = [
        MemberSubset(("a",), 0.5, 1.0, True),
        MemberSubset(("b",), 0.6, 2.0, False),
        MemberSubset(("a", "b"), 0.4, 3.0, True),
    ]
    figure = _drawn(front_plot(subsets))
    others, front = figure.axes[0].collections
    assert len(others.get_offsets()) == 1
    assert front.get_offsets().tolist() == [[1.0, 0.5], [3.0, 0.4]]


def test_the_plot_of_errors_takes_a_zero_on_the_truth() -> None:
    figure = errors_plot(with_a_zero(SyntheticMembers(photos=60).table()))
    shown = figure.axes[0].images[0].get_array()
    assert shown is not None and np.isfinite(np.asarray(shown)).all()

"""Plots of an ensemble."""

import numpy as np

from carvision.reporting.ensemble_plots import errors_plot
from tests.ensembling.conftest import with_a_zero
from tests.ensembling.synthetic import SyntheticMembers


def test_the_plot_of_errors_takes_a_zero_on_the_truth() -> None:
    figure = errors_plot(with_a_zero(SyntheticMembers(photos=60).table()))
    shown = figure.axes[0].images[0].get_array()
    assert shown is not None and np.isfinite(np.asarray(shown)).all()

"""The ways to tune, on members that are made up."""

from pathlib import Path

import numpy as np
import pytest

from carvision.ensembling import parts_of
from carvision.pipelines.methods import Settings, by_raw_weights
from carvision.reporting.ensemble_plots import errors_plot
from tests.ensembling.conftest import made_up_table, scorer_of, with_a_zero


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one, for the study and its lock."""
    monkeypatch.chdir(tmp_path)


def test_raw_weights_take_a_zero_on_the_truth() -> None:
    """A single view of a single member: no weight makes up for its zero."""
    table = with_a_zero(
        made_up_table(photos=60, skills=(3.0,), views=("original",), view_shift=(0.0,))
    )
    parts = parts_of(table.index, seed=0)
    tuned, _ = by_raw_weights(scorer_of(table), parts, Settings("weights", 5, 0, None))
    assert tuned.nested_log_p.min() == pytest.approx(np.log(1e-15))


def test_the_plot_of_errors_takes_a_zero_on_the_truth() -> None:
    figure = errors_plot(with_a_zero(made_up_table(photos=60)))
    shown = figure.axes[0].images[0].get_array()
    assert shown is not None and np.isfinite(np.asarray(shown)).all()

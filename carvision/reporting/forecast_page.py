"""The page of an ``ensemble`` run: forecast, confidence, the hardest photos."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from carvision.contracts import EnsembleOof
from carvision.ensembling.confidence import TOP
from carvision.ensembling.fold_averaging import TestFolds
from carvision.ensembling.forecast import Forecast
from carvision.reporting.html import plot_uri, rendered, thumbnail_uri
from carvision.reporting.tables import forecast_rows

_MOST_PHOTOS: Final = 24
_THUMBNAIL: Final = 160
_BINS: Final = 40


@dataclass(frozen=True)
class ExplainedForecast:
    """A forecast, with the out-of-fold photos and the test predictions that it was made from."""

    forecast: Forecast
    oof: EnsembleOof
    test: TestFolds


@dataclass(frozen=True)
class TrueScores:
    """The scores by the known answers, and the class of each photo by its ID."""

    log_loss: float
    accuracy: float
    labels: Mapping[str, str]


def forecast_page(
    table: pd.DataFrame,
    paths: Mapping[str, Path],
    made: ExplainedForecast | str,
    truth: TrueScores | None,
) -> str:
    """Render the page as one HTML file with its images.

    ``table`` is what :func:`~carvision.ensembling.confidence.confidence_table` gives, ``paths`` the
    photo of each ``image_id``. ``made`` is the forecast, or the reason why there is none.
    """
    scores = (truth.log_loss, truth.accuracy) if truth else None
    forecast = None if isinstance(made, str) else made.forecast
    labels = truth.labels if truth else {}
    bad, read = table[table["unreadable"] != ""], table[table["unreadable"] == ""]
    uncertain = read.sort_values("entropy", ascending=False, kind="stable")
    disputed = read[read["disagreement"] > 0]
    return rendered(
        "forecast.html.j2",
        count=f"{len(table):,}",
        forecast=forecast,
        reason=made if isinstance(made, str) else "",
        rows=_rows(forecast, scores),
        steps=_steps(forecast) if forecast else [],
        unreadable=bad.head(_MOST_PHOTOS).to_dict("records"),
        more_unreadable=max(0, len(bad) - _MOST_PHOTOS),
        plot=_plot(read, None if isinstance(made, str) else made),
        uncertain=_photos(uncertain, paths, labels),
        disputed=_photos(disputed, paths, labels),
    )


def _rows(forecast: Forecast | None, scores: tuple[float, float] | None) -> list[tuple[str, ...]]:
    if forecast:
        return [*forecast_rows(forecast, scores)]
    if scores:
        return [("true log loss", f"{scores[0]:.4f}"), ("true accuracy", f"{scores[1]:.2%}")]
    return []


def _steps(forecast: Forecast) -> list[tuple[str, str]]:
    moved = forecast.reweighted - forecast.oof_log_loss
    return [
        ("out of fold, by weights fitted without the photo's fold", f"{forecast.oof_log_loss:.4f}"),
        ("reweighted to the confidence of one fold in the test photos", f"{moved:+.4f}"),
        (
            "optimism of choosing each fold's best epoch on the scored fold",
            f"{forecast.selection_optimism:+.4f}",
        ),
        ("gain of the mean over all folds instead of one", f"{-forecast.averaging_gain:+.4f}"),
        ("expected", f"{forecast.log_loss:.4f}"),
    ]


def _photos(
    table: pd.DataFrame, paths: Mapping[str, Path], labels: Mapping[str, str]
) -> list[dict[str, Any]]:
    places = [place for place in range(1, TOP + 1) if f"class_{place}" in table.columns]
    return [
        {
            "image_id": row["image_id"],
            "image": thumbnail_uri(paths[row["image_id"]], _THUMBNAIL),
            "top": [(row[f"class_{k}"], f"{row[f'probability_{k}']:.3f}") for k in places],
            "truth": labels.get(row["image_id"], ""),
            "right": labels.get(row["image_id"]) == row["class_1"],
            "entropy": f"{row['entropy']:.2f}",
            "disagreement": f"{row['disagreement']:.3f}" if row["disagreement"] > 0 else "",
        }
        for row in table.head(_MOST_PHOTOS).to_dict("records")
    ]


def _plot(table: pd.DataFrame, made: ExplainedForecast | None) -> str:
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, what in zip(axes, ("confidence", "entropy"), strict=True):
        samples = {"test, as submitted": table[what].to_numpy()}
        if made:
            samples["test, one fold"] = getattr(made.test, what).ravel()
        if made and made.oof.of_submitted:
            samples["out of fold"] = made.oof.photos[what].to_numpy()
        _distributions(axis, samples)
        axis.set(xlabel=what + (" in nats" if what == "entropy" else ""), ylabel="share of photos")
    axes[0].legend(fontsize="small", frameon=False)
    return plot_uri(figure)


def _distributions(axis: Axes, samples: Mapping[str, NDArray[np.floating]]) -> None:
    top = max(1.0, *(float(values.max()) for values in samples.values()))
    edges = np.linspace(0, top, _BINS + 1)
    for name, values in samples.items():
        shares, _ = np.histogram(np.clip(values, 0, top), bins=edges)
        axis.stairs(shares / len(values), edges, label=name)

"""What to expect of a submission: the forecast and the page of an ``ensemble`` run."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.contracts import VIEWS, EnsembleOof, EnsembleSpec
from carvision.data.submission_listing import SubmissionPhotos
from carvision.data.tables import spreadsheet_csv
from carvision.ensembling.confidence import confidence_table
from carvision.ensembling.fold_averaging import TestFolds
from carvision.ensembling.forecast import forecast_score
from carvision.ensembling.mix import mix
from carvision.errors import PredictionsError
from carvision.pipelines.ensemble.prediction import EnsemblePredictions
from carvision.reporting.console import announce
from carvision.reporting.forecast_page import ExplainedForecast, TrueScores, forecast_page
from carvision.reporting.tables import show_forecast
from carvision.store.ensemble_oof import fetch_ensemble_oof
from carvision.tracking.outbox.record import log_metrics, log_text


def fetch_oof_photos(
    version: int | None, tuned: EnsembleSpec, used: EnsembleSpec
) -> EnsembleOof | str:
    """Fetch the out-of-fold photos of the ensemble ``used``, or say why there is no forecast.

    ``version`` is None for the plan's weights; ``used`` has the views of ``tuned`` that
    ``tta_steps`` leaves.
    """
    if version is None:
        return "the plan's weights were never tried out of fold; tune: mlflow run . -e tune"
    if used != tuned.with_views(VIEWS):
        return "tta_steps leaves out views that the ensemble was tuned with"
    try:
        found = fetch_ensemble_oof(version)
    # A submission does not need its forecast.
    except PredictionsError as error:
        return str(error)
    return found or (
        f"carvision-ensemble version {version} kept no out-of-fold photos; tune again: "
        "mlflow run . -e tune"
    )


def make_forecast(
    oof: EnsembleOof | str,
    predicted: EnsemblePredictions,
    readable: NDArray[np.bool_],
    seed: int,
) -> ExplainedForecast | str:
    """Forecast the score of the photos that are ``readable`` ``[images]``, or say why not.

    ``oof`` holds the ensemble's out-of-fold photos, or the reason why there are none.
    """
    if isinstance(oof, str):
        return oof
    if not readable.any():
        return "no test photo could be predicted"
    test = TestFolds.of(predicted.folds.images(readable), predicted.mixed[readable])
    return ExplainedForecast(forecast_score(oof, test, seed), oof, test)


def photo_table(predicted: EnsemblePredictions, unreadable: Mapping[str, str]) -> pd.DataFrame:
    """Tabulate how sure the ensemble is of each photo, and how far its members agree.

    ``unreadable`` says by ID why a photo was not predicted.
    """
    spec, own = predicted.spec, []
    for member, probabilities in zip(spec.members, predicted.members, strict=True):
        alone = spec.model_copy(update={"members": (member,)}).with_views(VIEWS)
        own.append(mix([probabilities], alone.active_weights, spec.mixing))
    weights = [sum(member.weights.values()) for member in spec.members]
    ids, names = predicted.photos.ids, spec.class_names
    return confidence_table(ids, predicted.mixed, own, weights, names, unreadable)


def report_forecast(
    made: ExplainedForecast | str,
    table: pd.DataFrame,
    photos: SubmissionPhotos,
    truth: TrueScores | None,
) -> None:
    """Print the forecast, and log it with its page and ``confidence.csv``, which is ``table``."""
    if isinstance(made, str):
        announce(f"no forecast: {made}")
    else:
        found = made.forecast
        show_forecast(found, (truth.log_loss, truth.accuracy) if truth else None)
        log_metrics(
            {
                "forecast/log_loss": found.log_loss,
                "forecast/log_loss_low": found.low,
                "forecast/log_loss_high": found.high,
                "forecast/accuracy": found.accuracy,
                "forecast/accuracy_low": found.accuracy_low,
                "forecast/accuracy_high": found.accuracy_high,
            }
        )
    log_text(spreadsheet_csv(table), "confidence.csv")
    paths = dict(zip(photos.ids, photos.paths, strict=True))
    log_text(forecast_page(table, paths, made, truth), "forecast.html")

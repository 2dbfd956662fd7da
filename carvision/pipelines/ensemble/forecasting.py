"""What to expect of a submission: the forecast and the page of an ``ensemble`` run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.contracts import VIEWS, EnsembleOof, EnsembleSpec
from carvision.data.submission_photos import SubmissionPhotos
from carvision.data.tables import spreadsheet_csv
from carvision.ensembling.confidence import confidence_table
from carvision.ensembling.fold_averaging import FoldMixtures, TestFolds
from carvision.ensembling.forecast import forecast
from carvision.ensembling.mix import mix
from carvision.errors import PredictionsError
from carvision.reporting.console import announce
from carvision.reporting.forecast_page import Basis, Truth, forecast_page
from carvision.reporting.tables import show_forecast
from carvision.store.ensemble_oof import fetch_ensemble_oof
from carvision.tracking.outbox.record import log_metrics, log_text


def forecast_inputs(
    version: int | None, tuned: EnsembleSpec, used: EnsembleSpec
) -> EnsembleOof | str:
    """The out-of-fold photos of the ensemble in use, or why nothing can be forecast.

    ``version`` is None where the plan's weights are used; ``used`` are the views of ``tuned`` that
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


def forecast_basis(
    inputs: EnsembleOof | str, folds: FoldMixtures, submitted: NDArray[np.floating], seed: int
) -> Basis | str:
    """The forecast of the ``submitted`` probabilities ``[images, classes]``, or why there is none.

    ``folds`` hold each fold's mixture of the same photos.
    """
    if isinstance(inputs, str):
        return inputs
    if not len(submitted):
        return "no test photo could be predicted"
    test = TestFolds.of(folds, submitted)
    return Basis(forecast(inputs, test, seed), inputs, test)


def photo_table(
    spec: EnsembleSpec,
    photos: SubmissionPhotos,
    submitted: NDArray[np.floating],
    members: Sequence[NDArray[np.floating]],
    unreadable: Mapping[str, str],
) -> pd.DataFrame:
    """How sure the ensemble is of each photo, and how far its members agree.

    ``members`` hold each member's probabilities for its active views ``[views, images, classes]``;
    ``unreadable`` says by ID why a photo was not predicted.
    """
    own = []
    for member, probabilities in zip(spec.members, members, strict=True):
        alone = spec.model_copy(update={"members": (member,)}).with_views(VIEWS)
        own.append(mix([probabilities], alone.active_weights, spec.mixing))
    weights = [sum(member.weights.values()) for member in spec.members]
    return confidence_table(photos.ids, submitted, own, weights, spec.class_names, unreadable)


def report_forecast(
    basis: Basis | str, table: pd.DataFrame, photos: SubmissionPhotos, truth: Truth | None
) -> None:
    """Print the forecast, and log it with its page and ``confidence.csv``, which is ``table``."""
    if isinstance(basis, str):
        announce(f"no forecast: {basis}")
    else:
        found = basis.forecast
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
    log_text(forecast_page(table, paths, basis, truth), "forecast.html")

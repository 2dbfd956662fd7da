"""registered ensemble -> submission.csv, by the weights of each member's views."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from carvision.config import RunSettings
from carvision.contracts import VIEWS, EnsembleOof
from carvision.data.submission import build_submission, write_submission
from carvision.errors import ConfigError
from carvision.files import check_writable
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.ensemble.champion import ensemble_to_use
from carvision.pipelines.ensemble.forecasting import (
    fetch_oof_photos,
    make_forecast,
    photo_table,
    report_forecast,
)
from carvision.pipelines.ensemble.input_checks import (
    SubmissionInput,
    check_test,
    find_test,
    refuse_other_classes,
)
from carvision.pipelines.ensemble.prediction import (
    EnsemblePredictions,
    log_predictions,
    predict_photos,
)
from carvision.pipelines.ensemble.true_scores import nested_score, show_scores
from carvision.pipelines.ensemble.unreadable_photos import UnreadablePhotos, class_prior
from carvision.reporting.console import console
from carvision.reporting.tables import show_weights
from carvision.store.champions import registered_at
from carvision.store.pins import pinned_members
from carvision.tracking.outbox.record import log_artifact
from carvision.tracking.outbox.steps import recorded

STAGE_ENSEMBLE = "ensemble"


def ensemble(
    settings: RunSettings,
    data: str,
    *,
    test: str,
    output: Path,
    tta_steps: int,
    checked: UnreadablePhotos | None = None,
) -> Path:
    """Predict the test photos with the champion, and write the submission: the entry point.

    ``test`` is a folder, a CSV or a zip, empty for the data's own; ``tta_steps`` is the number of
    views. Without a registered ensemble, the plan's weights mix the registered backbones.
    ``checked`` is the check of the same test photos, if the caller has made it.

    Raises:
        ConfigError: ``tta_steps`` is out of range.
        DataError: a test photo is missing, or the template is of other classes.
        TrackingError: neither an ensemble nor a backbone is registered, or a backbone is not the
            one that the ensemble was tuned with.
    """
    if not 1 <= tta_steps <= len(VIEWS):
        raise ConfigError(f"tta_steps={tta_steps}: expected 1 to {len(VIEWS)} ({', '.join(VIEWS)})")
    check_writable(output)
    check_test(data, test)
    with command_run(STAGE_ENSEMBLE, "ensemble") as run, recorded(run):
        photos, beside = find_test(data, test)
        version, tuned = ensemble_to_use(settings, data, beside)
        spec = tuned.with_views(VIEWS[:tta_steps])
        pinned = pinned_members(spec, None if version is None else registered_at(version))
        if not test:
            refuse_other_classes(beside, spec)
        given = SubmissionInput.checked(photos, beside, spec.classes, checked)
        show_weights(spec)
        oof = fetch_oof_photos(version, tuned, spec)
        prior = class_prior(oof, spec)
        predicted = predict_photos(settings, spec, pinned, given.unreadable, prior)
        submission = build_submission(given.template, spec.classes, photos.ids, predicted.mixed)
        # Before all else is computed and logged: everything else can be made again.
        write_submission(output, submission)
        log_artifact(output)
        out_of_fold = [nested_score(tuned, spec), *(member.oof_log_loss for member in pinned)]
        _report(predicted, given, submission, oof, out_of_fold, settings.seed)
        console.print(
            f"submission: {output.resolve()} ({len(submission):,} rows)",
            highlight=False,
            soft_wrap=True,
        )
        show_address(run)
    return output


def _report(
    predicted: EnsemblePredictions,
    given: SubmissionInput,
    submission: pd.DataFrame,
    oof: EnsembleOof | str,
    out_of_fold: Sequence[float | None],
    seed: int,
) -> None:
    """Log the predictions, the true scores where the answers are oof, and the forecast."""
    log_predictions(predicted)
    truth = show_scores(predicted, given, submission, out_of_fold)
    forecast = make_forecast(oof, predicted, given.unreadable.readable, seed)
    table = photo_table(predicted, given.unreadable.reasons)
    report_forecast(forecast, table, given.photos, truth)

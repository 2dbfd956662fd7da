"""registered ensemble -> submission.csv, through the weights of each view."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.config import RunSettings
from carvision.contracts import VIEWS, EnsembleSpec, Predictions, write_predictions
from carvision.data.folder.layout import Layout
from carvision.data.submission import build_submission, write_submission
from carvision.data.submission_photos import SubmissionPhotos
from carvision.ensembling.fold_averaging import FoldMixtures
from carvision.ensembling.mix import mix
from carvision.errors import ConfigError
from carvision.files import check_writable, scratch_folder
from carvision.inference import ComputeSettings, PhotosToPredict, predict_member
from carvision.inference.memory import keep_freed_memory, stay_below_swap
from carvision.metrics import MIN_PROBABILITY
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.ensemble.champion import champion_for
from carvision.pipelines.ensemble.forecasting import (
    forecast_basis,
    forecast_inputs,
    photo_table,
    report_forecast,
)
from carvision.pipelines.ensemble.submission_input import (
    TestInput,
    check_test,
    find_test,
    refuse_other_classes,
)
from carvision.pipelines.ensemble.true_scores import Expected, show_scores
from carvision.pipelines.ensemble.unreadable import Unreadable, class_prior
from carvision.pipelines.prepare.step import known_manifest
from carvision.reporting.console import announce, console, progress
from carvision.reporting.tables import show_weights
from carvision.store.champions import registered_at
from carvision.store.members import choose_members
from carvision.store.pins import build_spec, pinned_members
from carvision.store.runs import DATA
from carvision.store.versions import MemberVersion
from carvision.tracking.outbox.record import log_artifact, log_artifacts, set_tags
from carvision.tracking.outbox.steps import recorded

STAGE_ENSEMBLE = "ensemble"


def ensemble(settings: RunSettings, data: str, *, test: str, output: Path, tta_steps: int) -> Path:
    """The entry point: predict the test photos with the champion, and write the submission.

    ``test`` is a folder or a CSV, empty for the data's own. Without a registered ensemble the
    plan's fixed weights are used over the registered backbones.

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
        version, tuned = _specification(settings, data, beside)
        spec = tuned.with_views(VIEWS[:tta_steps])
        pinned = pinned_members(spec, None if version is None else registered_at(version))
        if not test:
            refuse_other_classes(beside, spec)
        given = TestInput.checked(photos, beside, spec.classes)
        show_weights(spec)
        inputs = forecast_inputs(version, tuned, spec)
        expected = Expected(_nested_score(tuned, spec), [one.oof_log_loss for one in pinned])
        prior = class_prior(inputs, spec)
        members, folds = _predict(settings, spec, pinned, given.unreadable)
        sound = given.unreadable.sound
        for probabilities in members:
            probabilities[:, ~sound] = prior
        submitted = mix(members, spec.active_weights, spec.mixing)
        submission = build_submission(given.template, spec.classes, photos.ids, submitted)
        # First of all: whatever else can be made again.
        write_submission(output, submission)
        log_artifact(output)
        _log_predictions(spec, photos, members)
        truth = show_scores(spec, expected, given, members, submission)
        table = photo_table(spec, photos, submitted, members, given.unreadable.reasons)
        basis = forecast_basis(inputs, folds.images(sound), submitted[sound], settings.seed)
        report_forecast(basis, table, photos, truth)
        console.print(
            f"submission: {output.resolve()} ({len(submission):,} rows)",
            highlight=False,
            soft_wrap=True,
        )
        show_address(run)
    return output


def _specification(
    settings: RunSettings, data: str, beside: Layout
) -> tuple[int | None, EnsembleSpec]:
    """The ensemble in use on ``data`` and its version, or the plan's fixed weights and none."""
    champion = champion_for(settings, data, beside)
    if champion is not None:
        version, spec = champion
        set_tags({DATA: spec.score.data if spec.score else "unknown"})
        return version, spec
    manifest = known_manifest(settings, data)
    set_tags({DATA: manifest.fingerprint})
    members = choose_members(manifest.fingerprint, ())
    names = ", ".join(f"{member.preset} v{member.version}" for member in members)
    announce(
        f"no ensemble is registered yet: using the plan's fixed weights over {names}, every view "
        "alike; a view that hurts is not left out: better run `mlflow run . -e tune` first"
    )
    total = sum(member.ensemble_weight for member in members) * len(VIEWS)
    weights = {(m.preset, view): m.ensemble_weight / total for m in members for view in VIEWS}
    temperatures = [1.0] * len(members)
    return None, build_spec(manifest.classes, members, weights=weights, temperatures=temperatures)


def _predict(
    settings: RunSettings,
    spec: EnsembleSpec,
    pinned: Sequence[MemberVersion],
    unreadable: Unreadable,
) -> tuple[list[NDArray[np.float64]], FoldMixtures]:
    """Each member's probabilities for its active views, ``[views, images, classes]``.

    Beside them the ensemble's mixture of each fold that all members have. What is predicted of
    unreadable photos has no meaning.
    """
    photos = PhotosToPredict(unreadable.photos.paths, unreadable.marks)
    compute = ComputeSettings.of(settings)
    # Here, and not where models predict in somebody else's process.
    keep_freed_memory(compute.device)
    stay_below_swap(compute.device)
    common = set.intersection(*(set(one.folds) for one in pinned))
    folds = FoldMixtures(spec.mixing, sorted(common))
    members = []
    for member, registered in zip(spec.members, pinned, strict=True):
        # One member's weights at a time: together they are tens of gigabytes.
        with scratch_folder() as folder:
            bundle = registered.fetch(folder, spec.classes)
            total = len(photos.sources) * len(member.active_views) * len(bundle.folds)
            with progress(f"predicting with {member.preset}", total) as predicted:
                temperatures = member.active_temperatures
                keep = partial(folds.add, member.active_weights)
                members.append(
                    predict_member(bundle, photos, temperatures, compute, keep, predicted)
                )
        unreadable.look_again()
    return members, folds


def _log_predictions(
    spec: EnsembleSpec, photos: SubmissionPhotos, members: Sequence[NDArray[np.floating]]
) -> None:
    """Keep each member's test predictions, in the format of the out-of-fold ones."""
    index = pd.DataFrame({"image_id": photos.ids, "class_index": -1, "fold": 0})
    with log_artifacts("predictions") as folder:
        for member, probabilities in zip(spec.members, members, strict=True):
            log_p = np.log(np.maximum(probabilities, MIN_PROBABILITY)).astype(np.float32)
            predictions = Predictions(index, member.active_views, log_p)
            write_predictions(folder / member.preset, predictions)


def _nested_score(tuned: EnsembleSpec, used: EnsembleSpec) -> float | None:
    """The honest out-of-fold score; ``tta_steps`` may have made another ensemble of it."""
    same = used == tuned.with_views(VIEWS)
    return tuned.score.nested if tuned.score is not None and same else None

"""A fold set's finished folds become a registered version of its backbone's model.

Whoever completes a set registers it, on whatever day or machine. An incomplete set can be
registered as well; its version says which folds it has.
"""

from collections.abc import Mapping

import mlflow
import numpy as np
from mlflow.entities import Run

from carvision.contracts import TrueClass
from carvision.errors import TrackingError
from carvision.files import one_at_a_time, scratch_folder
from carvision.metrics import log_loss_of_true_class
from carvision.models import read_bundle, write_bundle
from carvision.reporting.console import announce
from carvision.reporting.tables import show_folds
from carvision.store.address import is_local_store
from carvision.store.errors import store_problem
from carvision.store.fold_sets import fetch_true_class, fetch_weights, usable_folds
from carvision.store.member_choice import find_member, superseded_by
from carvision.store.member_versions import MemberVersion, TrainedFolds
from carvision.store.registration import register_member
from carvision.store.server import TRACKING_ERRORS, require_server
from carvision.tracking.outbox.folds import deliver_all
from carvision.training.job import FoldJob
from carvision.workspace import registration_lock


def register_if_reachable(job: FoldJob, run: Run | None) -> MemberVersion | None:
    """Log the results that wait, and register the set of ``job``; None if no fold is finished.

    ``run`` is the backbone's, which gets the scores; None if it could not be opened.

    Raises:
        TrackingError: that cannot be done now; the message says how it is done later.
    """
    try:
        require_server()
        if waiting := deliver_all(job.set_folder):
            raise TrackingError(f"what lies in {', '.join(map(str, waiting))} is not logged")
        if run is None:
            raise TrackingError("there was no server when its run was to begin")
        # One process at a time: another one that trained other folds of the set and ends now
        # finds this version; of two sets of a backbone, the better one becomes its champion.
        with one_at_a_time(registration_lock(job.config.name)):
            return _register(job)
    except TRACKING_ERRORS as error:
        mended = "that is mended" if is_local_store() else "the tracking server is back"
        raise TrackingError(
            f"what is trained of {job.config.name} cannot be registered now: "
            f"{store_problem(error) or error}\nNothing is lost. Once {mended}, run the same "
            "command again: it logs what is finished, trains nothing twice, and registers the model"
        ) from error


def _register(job: FoldJob) -> MemberVersion | None:
    """Score the folds that the set has by now, and register them unless that was done before."""
    runs = usable_folds(job.set_id)
    if not runs:
        return None
    run_ids = [run.info.run_id for run in runs.values()]
    with scratch_folder() as folder:
        oof = fetch_true_class(run_ids, folder / "oof")
        scores = _oof_scores(oof, runs)
        mlflow.log_metrics(scores)
        version = find_member(job.config.name, job.set_id, run_ids)
        how = "registered before as"
        if version is None:
            how = "registered as"
            weights = fetch_weights(runs, folder)
            write_bundle(folder / "bundle", job.config, job.manifest.classes, weights)
            held_out = job.manifest.usable["fold"].isin(list(runs)).sum()
            trained = TrainedFolds(
                job.set_id,
                job.manifest.fingerprint,
                dict(zip(runs, run_ids, strict=True)),
                all_folds=job.manifest.folds,
                oof_log_loss=scores["oof/log_loss"],
                smoke_run=len(oof.index) < int(held_out),
            )
            version = register_member(read_bundle(folder / "bundle"), trained)
    show_folds(job.config.name, {fold: run.data.metrics for fold, run in runs.items()}, scores)
    of_all = f"{len(runs)} of {job.manifest.folds} folds"
    announce(f"{how} {version.name} version {version.version}, {of_all}")
    _announce_limits(version)
    return version


def _announce_limits(version: MemberVersion) -> None:
    """Announce older versions that this one supersedes, and that a smoke run is one."""
    if older := ", ".join(map(str, superseded_by(version))):
        announce(
            f"version {older} of it holds a part of these folds. On this disk it takes no room of "
            "its own, on a server it does: delete it in the UI unless an ensemble pins it"
        )
    if version.smoke_run:
        announce("a smoke run (train.max_steps): its predictions cover a part of the photos")


def _oof_scores(oof: TrueClass, runs: Mapping[int, Run]) -> dict[str, float]:
    """Scores of the original view over all folds' photos, and how much the folds differ."""
    photos = oof.index["fold"].value_counts()
    correct = [run.data.metrics["best/val_accuracy"] * photos[fold] for fold, run in runs.items()]
    losses = [run.data.metrics["best/val_log_loss"] for run in runs.values()]
    return {
        "oof/log_loss": log_loss_of_true_class(oof.log_probabilities[0]),
        "oof/accuracy": float(np.sum(correct) / len(oof.index)),
        "best/val_log_loss_mean": float(np.mean(losses)),
        "best/val_log_loss_std": float(np.std(losses)),
    }

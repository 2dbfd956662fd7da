"""A backbone's folds on one data set: which are finished, and how they become a registered version.

Whoever completes a set registers it, on whatever day or machine; an incomplete one says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import mlflow
import numpy as np
from mlflow.entities import Run

from carvision.config import Config
from carvision.contracts import TrueClass
from carvision.data.loading.cache import PhotoCache
from carvision.errors import TrackingError
from carvision.files import one_at_a_time, scratch_folder
from carvision.metrics import log_loss_of_true_class
from carvision.models import read_bundle, write_bundle
from carvision.pipelines.caching import chosen_cache
from carvision.pipelines.prepare.prepared_data import PreparedData
from carvision.pipelines.train.begun_folds import begun_after
from carvision.reporting.console import announce
from carvision.reporting.tables import show_folds
from carvision.store.address import is_local_store
from carvision.store.errors import store_problem
from carvision.store.fold_sets import (
    fetch_true_class,
    fetch_weights,
    finished_folds,
    set_name,
    usable_folds,
)
from carvision.store.registry import find_member, register_member, superseded_by
from carvision.store.server import TRACKING_ERRORS, require_server
from carvision.store.tags import DATA, MODEL, SET
from carvision.store.versions import MemberVersion
from carvision.tracking.outbox.folds import deliver_all
from carvision.workspace import fold_folder, registration_lock, set_folder


@dataclass(frozen=True)
class FoldSet:
    """One backbone's folds on one data set, and those of them that are not to be trained."""

    config: Config
    prepared: PreparedData
    cache: PhotoCache | None
    set_id: str
    done: dict[int, Run]

    @property
    def tags(self) -> dict[str, str]:
        """What its runs are found by."""
        fingerprint = self.prepared.manifest.fingerprint
        return {MODEL: self.config.name, SET: self.set_id, DATA: fingerprint}


def fold_set_of(config: Config, prepared: PreparedData, resume: str) -> FoldSet:
    """The fold set of ``config``, after what an earlier training of it left was logged."""
    cache = chosen_cache(config, prepared)
    side = None if cache is None else cache.side
    set_id = set_name(config, prepared.manifest.fingerprint, side)
    deliver_all(set_folder(set_id))
    done = {
        fold: run
        for fold, run in (usable_folds(set_id) if resume == "auto" else {}).items()
        # resume=never began it once more: that goes on.
        if not begun_after(run, fold_folder(set_id, fold))
    }
    if not done and config.precision == "auto" and resume == "auto":
        _announce_unknown_precision(config, prepared.manifest.fingerprint, side)
    return FoldSet(config, prepared, cache, set_id, done)


def _announce_unknown_precision(config: Config, fingerprint: str, side: int | None) -> None:
    """Name the folds of an earlier version, which kept the word auto and not what it meant."""
    if folds := finished_folds(set_name(config, fingerprint, side, precision="auto")):
        announce(
            f"{config.name}: fold {', '.join(map(str, folds))} was trained by an earlier version, "
            "which did not note the precision: it is trained again, and what is registered of it "
            "stays"
        )


def register_if_reachable(run: Run | None, fold_set: FoldSet) -> MemberVersion | None:
    """Log what waits and register the set; None while none of its folds is finished.

    Raises:
        TrackingError: it waits on, and how it is registered later.
    """
    try:
        require_server()
        if waiting := deliver_all(set_folder(fold_set.set_id)):
            raise TrackingError(f"what lies in {', '.join(map(str, waiting))} is not logged")
        if run is None:
            raise TrackingError("there was no server when its run was to begin")
        # Whoever trains another fold of the set, and ends now, too, takes this version over; of two
        # sets of a backbone, the better one becomes its champion.
        with one_at_a_time(registration_lock(fold_set.config.name)):
            return _register(fold_set)
    except TRACKING_ERRORS as error:
        mended = "that is mended" if is_local_store() else "the tracking server is back"
        raise TrackingError(
            f"what is trained of {fold_set.config.name} cannot be registered now: "
            f"{store_problem(error) or error}\nNothing is lost. Once {mended}, run the same "
            "command again: it logs what is finished, trains nothing twice, and registers the model"
        ) from error


def _register(fold_set: FoldSet) -> MemberVersion | None:
    """Score the folds that the set has by now, and register them unless that was done before."""
    config, set_id, manifest = fold_set.config, fold_set.set_id, fold_set.prepared.manifest
    runs = usable_folds(set_id)
    if not runs:
        return None
    fold_runs = {fold: run.info.run_id for fold, run in runs.items()}
    with scratch_folder() as folder:
        oof = fetch_true_class(list(fold_runs.values()), folder / "oof")
        scores = _oof_scores(oof, runs)
        mlflow.log_metrics(scores)
        version = find_member(config.name, set_id, list(fold_runs.values()))
        how = "registered before as"
        if version is None:
            how = "registered as"
            weights = fetch_weights(runs, folder)
            write_bundle(folder / "bundle", config, manifest.classes, weights)
            held_out = manifest.usable["fold"].isin(list(runs)).sum()
            version = register_member(
                read_bundle(folder / "bundle"),
                data=manifest.fingerprint,
                set_id=set_id,
                fold_runs=fold_runs,
                all_folds=manifest.folds,
                oof_log_loss=scores["oof/log_loss"],
                smoke_run=len(oof.index) < int(held_out),
            )
    show_folds(config.name, {fold: run.data.metrics for fold, run in runs.items()}, scores)
    announce(
        f"{how} {version.name} version {version.version}, "
        f"{len(fold_runs)} of {manifest.folds} folds"
    )
    if older := ", ".join(map(str, superseded_by(version))):
        announce(
            f"version {older} of it holds a part of these folds. On this disk it takes no room of "
            "its own, on a server it does: delete it in the UI unless an ensemble pins it"
        )
    if version.smoke_run:
        announce("a smoke run (train.max_steps): its predictions cover a part of the photos")
    return version


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

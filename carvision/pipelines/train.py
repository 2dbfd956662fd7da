"""manifest -> out-of-fold predictions and a registered model, for each backbone.

A run for the backbone, a child run for each fold. Folds that an earlier run finished with the same
settings are taken over; whoever trains the rest registers the version. Only the beginning and the
registration need the tracking server: while it is away, training goes on, and results wait. A fold
that fails ends none of the others: what is finished is registered, and the error comes at the end.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import mlflow
import numpy as np
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from carvision.config import Config
from carvision.contracts import TrueClass
from carvision.data.cache import PhotoCache
from carvision.data.preview import augmentation_preview
from carvision.errors import CarvisionError, ConfigError, IncompleteError, TrackingError
from carvision.files import scratch_folder
from carvision.inference import resolve_device
from carvision.metrics import log_loss_of_true_class
from carvision.models import build_model, ensure_weights, read_bundle, write_bundle
from carvision.pipelines.begun_folds import begun_after
from carvision.pipelines.caching import chosen_cache, write_cache
from carvision.pipelines.fold_run import fold_folder, set_folder, train_in_own_run
from carvision.pipelines.prepare import PreparedData, prepared_data
from carvision.pipelines.session import announce, close_killed, command_to_go_on, show_address
from carvision.reporting.tables import show_folds
from carvision.tracking.finished_fold import deliver_all, is_finished
from carvision.tracking.fold_sets import (
    fetch_true_class,
    fetch_weights,
    finished_folds,
    set_name,
)
from carvision.tracking.prepared import log_data_input
from carvision.tracking.registry import MemberVersion, find_member, register_member
from carvision.tracking.server import require_server
from carvision.tracking.store import (
    DATA,
    MODEL,
    SET,
    log_settings,
    tracked_run,
    tracked_run_if_reachable,
)
from carvision.tracking.wandb_tracker import check_wandb
from carvision.training import training_photos

STAGE_TRAIN = "train"


@dataclass(frozen=True)
class _FoldSet:
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


def train(configs: Sequence[Config], data: str, fold: str, resume: str) -> list[MemberVersion]:
    """The entry point: train each of ``configs`` on ``fold`` (``all``, ``2`` or ``1,3``).

    ``resume`` is ``auto`` or ``never``: whether folds that were finished before are taken over, and
    whether a fold that was stopped goes on.

    Raises:
        CarvisionError: anything that would stop a run later is refused before the first one.
        IncompleteError: folds or backbones failed; the others are trained and registered.
        TrackingError: what was trained could not be registered: the tracking server is away.
    """
    if resume not in ("auto", "never"):
        raise ConfigError(f"resume={resume!r}: expected auto or never")
    check_trainable(configs)
    require_server()
    close_killed()
    names = ",".join(config.name for config in configs)
    with tracked_run(STAGE_TRAIN, f"train {names}") as run:
        prepared = prepared_data(configs[0], data)
        folds = parse_folds(fold, prepared.manifest.folds)
        # Before the first one: a disk that is too small shows, and the server may go away.
        fold_sets = [_fold_set(config, prepared, resume) for config in configs]
        versions = _train_each(run, fold_sets, folds, resume)
        show_address(run)
        return versions


def check_trainable(configs: Sequence[Config]) -> None:
    """Refuse before any work what would stop a backbone's training.

    Raises:
        CarvisionError: a device or weights that cannot be had, a size that does not suit.
    """
    if len(configs) > 1 and any(config.model.weights for config in configs):
        raise ConfigError("model.weights=FILE is of one backbone: give a single model=")
    for config in configs:
        check_wandb(config.tracking.wandb)
        resolve_device(config.device)
        ensure_weights(config)
        # Built once and thrown away: a size or a file that does not fit shows here, not after the
        # backbones before it were trained for hours.
        build_model(config, classes=2, pretrained=config.model.pretrained)


def _fold_set(config: Config, prepared: PreparedData, resume: str) -> _FoldSet:
    """The fold set of ``config``, after what an earlier training of it left was logged."""
    cache = chosen_cache(config, prepared)
    side = None if cache is None else cache.side
    set_id = set_name(config, prepared.manifest.fingerprint, side)
    deliver_all(set_folder(set_id))
    done = {
        fold: run
        for fold, run in (finished_folds(set_id) if resume == "auto" else {}).items()
        # resume=never began it once more: that goes on.
        if not begun_after(run, fold_folder(set_id, fold))
    }
    return _FoldSet(config, prepared, cache, set_id, done)


def _train_each(
    run: Run, fold_sets: Sequence[_FoldSet], folds: Sequence[int], resume: str
) -> list[MemberVersion]:
    """Train the backbones one after the other; several each in a run of its own.

    Raises:
        IncompleteError: at the end, what failed and why.
        TrackingError: at the end, when all that failed is the registration.
    """
    versions, failed = [], {}
    for fold_set in fold_sets:
        name = fold_set.config.name
        own: AbstractContextManager[Run | None] = nullcontext(run)
        if len(fold_sets) > 1:
            own = tracked_run_if_reachable(STAGE_TRAIN, f"train {name}")
        try:
            with own as child:
                versions.append(_train_backbone(child, fold_set, folds, resume))
        except CarvisionError as error:
            if len(fold_sets) > 1:
                announce(f"{name} is not complete: {error}")
            failed[name] = error
    if failed:
        raise _what_failed(failed)
    return versions


def _what_failed(failed: Mapping[str, CarvisionError]) -> CarvisionError:
    """One error for all of a night: ``failed`` by the backbone's name."""
    errors = list(failed.values())
    if len(errors) == 1 and not isinstance(errors[0], IncompleteError):
        return errors[0]
    if not all(isinstance(error, TrackingError) for error in errors):
        return IncompleteError(
            "\n".join(map(str, errors)) + "\nThe rest is trained, and kept. Once the cause is "
            f"mended, this goes on with what failed: {command_to_go_on()}"
        )
    return TrackingError(
        f"trained, and not registered yet: {', '.join(failed)}; run the same command again "
        "once the tracking server is back"
    )


def _train_backbone(
    run: Run | None, fold_set: _FoldSet, folds: Sequence[int], resume: str
) -> MemberVersion:
    """Train what is missing of ``folds``, and register what the set has by then.

    Raises:
        IncompleteError: folds failed, each with its reason; what is finished is registered, or the
            message says why not.
        TrackingError: all is trained, and cannot be registered now.
    """
    missing = [fold for fold in folds if fold not in fold_set.done]
    if missing and fold_set.cache is not None:
        write_cache(fold_set.cache, fold_set.prepared.layout.root)
    if run is not None:
        _describe(fold_set, missing)
    failed = _train_folds(fold_set, folds, resume)
    try:
        version = _register_if_reachable(run, fold_set)
    except TrackingError as error:
        if failed:
            raise IncompleteError("\n".join([*failed, str(error)])) from error
        raise
    if failed:
        raise IncompleteError("\n".join(failed))
    assert version is not None  # each of its folds is finished
    show_address(run)
    return version


def _train_folds(fold_set: _FoldSet, folds: Sequence[int], resume: str) -> list[str]:
    """Train those that are not finished; which of them failed, and why."""
    name, failed = fold_set.config.name, []
    batch_size = None
    for fold in folds:
        folder = fold_folder(fold_set.set_id, fold)
        if fold in fold_set.done:
            announce(
                f"{name} fold {fold}: finished before with these settings, in run "
                f"{fold_set.done[fold].info.run_id}; taken over (resume=never trains it again)"
            )
        elif is_finished(folder):
            announce(f"{name} fold {fold}: finished before, and waits to be logged")
        else:
            try:
                batch_size = train_in_own_run(
                    fold_set.config,
                    fold_set.prepared,
                    fold_set.cache,
                    fold,
                    fold_set.tags,
                    anew=resume == "never",
                    batch_size=batch_size,
                )
            except CarvisionError as error:
                # Hours of the other folds do not hang on this one.
                failed.append(f"{name} fold {fold} failed: {error}")
                announce(failed[-1])
    return failed


def _register_if_reachable(run: Run | None, fold_set: _FoldSet) -> MemberVersion | None:
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
        return _register(fold_set)
    except (MlflowException, TrackingError) as error:
        raise TrackingError(
            f"what is trained of {fold_set.config.name} cannot be registered now: {error}\nNothing "
            "is lost. Once the tracking server is back, run the same command again: it logs what "
            "is finished, trains nothing twice, and registers the model"
        ) from error


def _describe(fold_set: _FoldSet, missing: Sequence[int]) -> None:
    """Tell the open run what is trained; training does not hang on that."""
    prepared = fold_set.prepared
    try:
        require_server()
        mlflow.set_tags(fold_set.tags)
        log_settings(fold_set.config.model_dump(mode="json"))
        log_data_input(prepared.manifest, prepared.layout.root, "training")
        if missing:
            _log_preview(fold_set.config, prepared, missing[0], fold_set.cache)
    except (MlflowException, TrackingError) as error:
        announce(f"the run lacks its settings, and training goes on: {error}")


def _log_preview(
    config: Config, prepared: PreparedData, fold: int, cache: PhotoCache | None
) -> None:
    """Log a sheet of 32 photos as training sees them: wrong augmentation is seen, not computed."""
    rows, _ = prepared.manifest.split(fold)
    photos = training_photos(config, rows, prepared.layout.root, cache)
    mlflow.log_image(augmentation_preview(photos, config.seed), "augmentation.jpg")


def _register(fold_set: _FoldSet) -> MemberVersion | None:
    """Score the folds that the set has by now, and register them unless that was done before."""
    config, set_id, manifest = fold_set.config, fold_set.set_id, fold_set.prepared.manifest
    runs = finished_folds(set_id)
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
                trial_run=len(oof.index) < int(held_out),
            )
    show_folds(config.name, {fold: run.data.metrics for fold, run in runs.items()}, scores)
    announce(
        f"{how} {version.name} version {version.version}, "
        f"{len(fold_runs)} of {manifest.folds} folds"
    )
    if version.trial_run:
        announce("a trial run (train.max_steps): its predictions cover a part of the photos")
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


def parse_folds(fold: str, folds: int) -> list[int]:
    everything = list(range(1, folds + 1))
    if fold == "all":
        return everything
    try:
        wanted = sorted({int(part) for part in fold.split(",")})
    except ValueError:
        raise ConfigError(f"fold={fold!r}: expected all, or numbers from 1") from None
    if not set(wanted) <= set(everything):
        raise ConfigError(f"fold={fold!r}: this data has the folds 1 to {folds}")
    return wanted

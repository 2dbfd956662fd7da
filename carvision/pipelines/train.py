"""manifest -> out-of-fold predictions and a registered model, for each backbone.

A run for the backbone, a child run for each fold. Folds that an earlier run finished with the same
settings are taken over; whoever trains the rest registers the version.
"""

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities import Run

from carvision.config import Config
from carvision.contracts import TrackerGroup, TrueClass
from carvision.data.cache import PhotoCache
from carvision.data.preview import augmentation_preview
from carvision.errors import ConfigError
from carvision.files import alone, read_json, scratch_folder, write_json
from carvision.inference import resolve_device
from carvision.metrics import log_loss_of_true_class
from carvision.models import build_model, ensure_weights, read_bundle, write_bundle
from carvision.pipelines.caching import chosen_cache, write_cache
from carvision.pipelines.prepare import PreparedData, prepared_data
from carvision.pipelines.session import announce, show_address
from carvision.reporting.tables import show_folds
from carvision.reporting.training_progress import TrainingProgress
from carvision.tracking.event_log import EVENTS_FILE, EventLog
from carvision.tracking.fold_sets import (
    STAGE_FOLD,
    batch_size_of,
    fetch_true_class,
    fetch_weights,
    finished_folds,
    log_fold,
    set_name,
)
from carvision.tracking.mlflow_tracker import MlflowTracker
from carvision.tracking.prepared import log_data_input
from carvision.tracking.registry import MemberVersion, find_member, register_member
from carvision.tracking.sending import SENT_FILE
from carvision.tracking.store import (
    DATA,
    FOLD,
    MODEL,
    SET,
    close_killed_runs,
    exists,
    log_settings,
    tracked_run,
)
from carvision.tracking.tensorboard_tracker import TensorBoardTracker
from carvision.tracking.wandb_tracker import check_wandb, wandb_trackers
from carvision.training import train_fold, training_photos

STAGE_TRAIN = "train"
LOCKS = Path("work/locks")
_RUN = "run.json"


def train(configs: Sequence[Config], data: str, fold: str, resume: str) -> list[MemberVersion]:
    """The entry point: train each of ``configs`` on ``fold`` (``all``, ``2`` or ``1,3``).

    ``resume`` is ``auto`` or ``never``: whether folds that were finished before are taken over, and
    whether a fold that was stopped goes on.

    Raises:
        CarvisionError: anything that would stop a run later is refused before the first one.
    """
    if resume not in ("auto", "never"):
        raise ConfigError(f"resume={resume!r}: expected auto or never")
    check_trainable(configs)
    for killed in close_killed_runs():
        announce(f"run {killed.info.run_name} was killed before; it is marked so")
    names = ",".join(config.name for config in configs)
    with tracked_run(STAGE_TRAIN, f"train {names}") as run:
        prepared = prepared_data(configs[0], data)
        folds = _parse_folds(fold, prepared.manifest.folds)
        for config in configs[1:]:
            chosen_cache(config, prepared)  # a disk that is too small shows before the first one
        if len(configs) == 1:
            return [_train_backbone(run, configs[0], prepared, folds, resume)]
        versions = []
        for config in configs:
            with tracked_run(STAGE_TRAIN, f"train {config.name}") as child:
                versions.append(_train_backbone(child, config, prepared, folds, resume))
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


def _train_backbone(
    run: Run, config: Config, prepared: PreparedData, folds: Sequence[int], resume: str
) -> MemberVersion:
    fingerprint = prepared.manifest.fingerprint
    cache = chosen_cache(config, prepared)
    set_id = set_name(config, fingerprint, None if cache is None else cache.side)
    tags = {MODEL: config.name, SET: set_id, DATA: fingerprint}
    mlflow.set_tags(tags)
    log_settings(config.model_dump(mode="json"))
    log_data_input(prepared.manifest, prepared.layout.root, "training")
    done = finished_folds(set_id) if resume == "auto" else {}
    missing = [fold for fold in folds if fold not in done]
    if missing:
        if cache is not None:
            write_cache(cache, prepared.layout.root)
        _log_preview(config, prepared, missing[0], cache)
    for fold in folds:
        if fold in done:
            announce(
                f"{config.name} fold {fold}: finished before with these settings, in run "
                f"{done[fold].info.run_id}; taken over (resume=never trains it again)"
            )
        else:
            with alone(LOCKS / f"{set_id}-fold{fold}", f"{config.name} fold {fold}"):
                if resume == "never":
                    shutil.rmtree(fold_folder(set_id, fold), ignore_errors=True)
                _train_fold(config, prepared, cache, fold, tags)
    version = _register(config, prepared, set_id)
    show_address(run)
    return version


def _log_preview(
    config: Config, prepared: PreparedData, fold: int, cache: PhotoCache | None
) -> None:
    """Log a sheet of 32 photos as training sees them: wrong augmentation is seen, not computed."""
    rows, _ = prepared.manifest.split(fold)
    photos = training_photos(config, rows, prepared.layout.root, cache)
    mlflow.log_image(augmentation_preview(photos, config.seed), "augmentation.jpg")


def _train_fold(
    config: Config,
    prepared: PreparedData,
    cache: PhotoCache | None,
    fold: int,
    tags: dict[str, str],
) -> None:
    """Train a fold, or what is left of it, in the child run that it was begun in."""
    name = f"{config.name} fold {fold}"
    folder = fold_folder(tags[SET], fold)
    with (
        tracked_run(STAGE_FOLD, name, {**tags, FOLD: str(fold)}, _begun_run(folder)) as run,
        TrainingProgress() as bar,
    ):
        run_id = run.info.run_id
        write_json(folder / _RUN, {"run_id": run_id})
        events = EventLog(folder / EVENTS_FILE, run_id)
        own = Path(tags[SET]) / f"fold{fold}"
        with (
            MlflowTracker(events) as to_mlflow,
            TensorBoardTracker(Path("work/tensorboard") / own) as board,
            wandb_trackers(
                config.tracking.wandb,
                run_id=run_id,
                name=name,
                group=tags[SET],
                settings=config.model_dump(mode="json"),
                folder=Path("work/wandb"),
            ) as wandb,
        ):
            # The event log first: what MLflow is sent is read from it.
            tracker = TrackerGroup([events, to_mlflow, board, *wandb, bar])
            root = prepared.layout.root
            try:
                result = train_fold(
                    config,
                    prepared.manifest,
                    root,
                    fold,
                    folder,
                    tracker,
                    cache,
                    batch_size_of(tags[SET]),
                )
            except KeyboardInterrupt:
                arguments = ["auto" if word == "never" else word for word in sys.orig_argv[1:]]
                again = shlex.join(["python", *arguments])
                announce(f"{name} stopped; the same command goes on from its checkpoint: {again}")
                raise
            # Kept when the fold cannot be logged: hours of training are in it.
            log_fold(result)
            mlflow.log_artifact(str(events.path))
            everything_sent = to_mlflow.close()
    _remove(folder, but=() if everything_sent else (EVENTS_FILE, SENT_FILE))


def _remove(folder: Path, but: Sequence[str]) -> None:
    """Remove a finished fold's files, except those that ``sync`` needs to send the rest of them."""
    for path in list(folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in but:
            path.unlink()
    for emptied in (folder, folder.parent):
        if not any(emptied.iterdir()):
            emptied.rmdir()


def fold_folder(set_id: str, fold: int) -> Path:
    """Where an unfinished fold keeps its checkpoints."""
    return Path("work/folds") / set_id / f"fold{fold}"


def _begun_run(folder: Path) -> str | None:
    """The run that a stopped training of this fold was logged in."""
    try:
        run_id: str = read_json(folder / _RUN)["run_id"]
    except (OSError, ValueError, KeyError):
        return None
    return run_id if exists(run_id) else None


def _register(config: Config, prepared: PreparedData, set_id: str) -> MemberVersion:
    """Score the folds that the set has by now, and register them unless that was done before."""
    manifest = prepared.manifest
    runs = finished_folds(set_id)
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


def _parse_folds(fold: str, folds: int) -> list[int]:
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

"""One fold's training in its own child run; with a tracking server or, while it is away, without.

The run ends FINISHED when everything is in it, and not before.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import mlflow
from mlflow.entities import Run

from carvision.config import Config
from carvision.contracts import Tracker, TrackerGroup
from carvision.data.loading.cache import PhotoCache
from carvision.errors import DivergedError, PrunedError
from carvision.pipelines.command import command_to_go_on
from carvision.pipelines.prepare.prepared_data import PreparedData
from carvision.pipelines.train.begun_folds import announce_others
from carvision.reporting.console import announce
from carvision.store.fold_sets import BATCH_SIZE, STAGE_FOLD, batch_size_of, best_metrics
from carvision.store.killed_runs import close_abandoned
from carvision.store.open_runs import tracked_run, tracked_run_if_reachable
from carvision.store.server import TRACKING_ERRORS, require_server
from carvision.store.tags import FOLD, PARENT, SET
from carvision.tracking.event_log import EVENTS_FILE, EventLog, read_events, run_named_in
from carvision.tracking.mlflow_tracker import MlflowTracker
from carvision.tracking.outbox.events import SENT_FILE, pending
from carvision.tracking.outbox.folds import (
    alone_with,
    deliver,
    waiting_metrics,
    write_finished,
)
from carvision.tracking.progress_bar import TrainingProgress
from carvision.tracking.tensorboard_tracker import TensorBoardTracker
from carvision.tracking.wandb_tracker import WandbRun, wandb_tracker
from carvision.training import FoldResult, train_fold
from carvision.training.checkpoint import peek_checkpoint
from carvision.training.job import FoldJob
from carvision.workspace import TENSORBOARD, WANDB, fold_folder, set_folder


def train_in_own_run(
    config: Config,
    prepared: PreparedData,
    cache: PhotoCache | None,
    fold: int,
    tags: dict[str, str],
    *,
    anew: bool,
    batch_size: int | None,
) -> int:
    """Train a fold, or what is left of it, and log it in the child run that it was begun in.

    ``tags`` are the fold set's; ``anew`` forgets what was begun before; ``batch_size`` is what
    ``train.batch_size=auto`` came to in a fold before, and is returned of this one. While the
    tracking server is away the result stays on the disk.

    Raises:
        CarvisionError: another process trains this fold; and what :func:`train_fold` raises.
    """
    name = f"{config.name} fold {fold}"
    folder = fold_folder(tags[SET], fold)
    tags = {**tags, FOLD: str(fold)}
    if (parent := mlflow.active_run()) is not None:
        tags[PARENT] = parent.info.run_id
    with alone_with(folder, name):
        _close_abandoned(run_named_in(read_events(folder / EVENTS_FILE)))
        if anew:
            shutil.rmtree(folder, ignore_errors=True)
        job = FoldJob.of(config, prepared.manifest, prepared.layout.root, fold, cache)
        announce_others(name, folder, job.identity)
        begun = run_named_in(read_events(folder / EVENTS_FILE))
        with tracked_run_if_reachable(STAGE_FOLD, name, tags, begun) as run:
            result = _train(config, prepared, cache, fold, tags, run, batch_size)
            write_finished(folder, result, name, tags)
            if run is not None:
                deliver(folder, run)
    if run is None:
        deliver(folder)
    return result.batch_size


def begun_batch_size(set_id: str) -> int | None:
    """What ``train.batch_size=auto`` came to in a fold of the set that is begun or finished.

    What lies on the disk is asked first: that needs no server.
    """
    for folder in sorted(set_folder(set_id).glob("fold*")):
        if (size := waiting_metrics(folder).get(BATCH_SIZE)) is not None:
            return int(size)
        if (state := peek_checkpoint(folder)) is not None and "batch_size" in state:
            return int(state["batch_size"])
    try:
        require_server()
        return batch_size_of(set_id)
    except TRACKING_ERRORS as error:
        announce(f"train.batch_size=auto is looked for anew: {error}")
        return None


def _close_abandoned(run_id: str) -> None:
    """Close the run that a fold was begun in, whose lock is held, and the runs around it."""
    if not run_id:
        return
    try:
        require_server()
        for closed in close_abandoned(run_id):
            announce(f"run {closed.info.run_name} was killed before; it is marked so")
    except TRACKING_ERRORS as error:
        announce(f"what was killed before may show as RUNNING: {error}")


def train_for_search(
    stage: str,
    config: Config,
    prepared: PreparedData,
    cache: PhotoCache | None,
    fold: int,
    tags: Mapping[str, str],
    listener: Tracker,
) -> FoldResult:
    """Train a fold, or what is left of it, for its metrics alone; they are logged, its files go.

    ``listener`` may end it with :class:`PrunedError`; then, too, its files go.
    """
    folder = fold_folder(tags[SET], fold)
    tags = {**tags, FOLD: str(fold)}
    begun = run_named_in(read_events(folder / EVENTS_FILE))
    try:
        with tracked_run(stage, f"{config.name} fold {fold}", tags, begun) as run:
            result = _train(config, prepared, cache, fold, tags, run, listeners=[listener])
            mlflow.log_metrics(best_metrics(result))
    except (PrunedError, DivergedError):
        _abandon(folder)
        raise
    _abandon(folder)
    return result


def _abandon(folder: Path) -> None:
    """Remove the files of a fold, except those that ``sync`` needs to send the rest of them."""
    kept = {EVENTS_FILE, SENT_FILE} if pending(folder / EVENTS_FILE) else set()
    for path in list(folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()
    for emptied in (folder, folder.parent):
        if not any(emptied.iterdir()):
            emptied.rmdir()


def _train(
    config: Config,
    prepared: PreparedData,
    cache: PhotoCache | None,
    fold: int,
    tags: dict[str, str],
    run: Run | None,
    batch_size: int | None = None,
    listeners: Sequence[Tracker] = (),
) -> FoldResult:
    name, folder = f"{config.name} fold {fold}", fold_folder(tags[SET], fold)
    events = EventLog(folder / EVENTS_FILE, None if run is None else run.info.run_id)
    own = Path(tags[SET]) / f"fold{fold}"
    described = WandbRun(
        id=f"{tags[SET]}-fold{fold}" if run is None else run.info.run_id,
        name=name,
        group=tags[SET],
        settings=config.model_dump(mode="json"),
    )
    with (
        TrainingProgress() as bar,
        MlflowTracker(events) as to_mlflow,
        TensorBoardTracker(TENSORBOARD / own) as board,
        wandb_tracker(config.tracking.wandb, described, WANDB) as wandb,
    ):
        # The event log first: what MLflow is sent is read from it.
        tracker = TrackerGroup([events, to_mlflow, board, wandb, bar, *listeners])
        job = FoldJob.of(config, prepared.manifest, prepared.layout.root, fold, cache)
        job = replace(job, study=tags[SET].rpartition("-")[0])
        if config.train.batch_size == "auto" and batch_size is None:
            batch_size = begun_batch_size(tags[SET])
        try:
            return train_fold(job, tracker, batch_size)
        except KeyboardInterrupt:
            again = command_to_go_on()
            announce(f"{name} stopped; the same command goes on from its checkpoint: {again}")
            raise

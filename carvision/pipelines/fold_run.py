"""One fold's training in a run of its own, told to every tracker; it goes on where it stopped."""

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow

from carvision.config import Config
from carvision.contracts import Tracker, TrackerGroup
from carvision.data.cache import PhotoCache
from carvision.files import read_json, write_json
from carvision.pipelines.prepare import PreparedData
from carvision.pipelines.session import announce
from carvision.reporting.training_progress import TrainingProgress
from carvision.tracking.event_log import EVENTS_FILE, EventLog
from carvision.tracking.fold_sets import batch_size_of
from carvision.tracking.mlflow_tracker import MlflowTracker
from carvision.tracking.sending import SENT_FILE, pending
from carvision.tracking.store import FOLD, SET, exists, tracked_run
from carvision.tracking.tensorboard_tracker import TensorBoardTracker
from carvision.tracking.wandb_tracker import wandb_trackers
from carvision.training import FoldResult, train_fold

_RUN = "run.json"


@dataclass(frozen=True)
class FoldKind:
    """What a fold is trained for: its runs' stage, and what of the result they keep."""

    stage: str
    log_result: Callable[[FoldResult], None]


def run_fold(
    kind: FoldKind,
    config: Config,
    prepared: PreparedData,
    cache: PhotoCache | None,
    fold: int,
    tags: Mapping[str, str],
    listeners: Sequence[Tracker] = (),
) -> FoldResult:
    """Train a fold, or what is left of it, in the child run that it was begun in.

    Its files are below :func:`fold_folder` of ``tags[SET]`` until it is finished; the result's
    weights are among them, and gone when this returns.
    """
    name = f"{config.name} fold {fold}"
    folder = fold_folder(tags[SET], fold)
    with (
        tracked_run(kind.stage, name, {**tags, FOLD: str(fold)}, _begun_run(folder)) as run,
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
            tracker = TrackerGroup([events, to_mlflow, board, *wandb, bar, *listeners])
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
            kind.log_result(result)
            mlflow.log_artifact(str(events.path))
            everything_sent = to_mlflow.close()
    _remove(folder, but=() if everything_sent else (EVENTS_FILE, SENT_FILE))
    return result


def fold_folder(set_id: str, fold: int) -> Path:
    """Where an unfinished fold keeps its checkpoints."""
    return Path("work/folds") / set_id / f"fold{fold}"


def abandon_fold(set_id: str, fold: int) -> None:
    """Remove the files of a fold that nobody will finish."""
    folder = fold_folder(set_id, fold)
    _remove(folder, but=(EVENTS_FILE, SENT_FILE) if pending(folder / EVENTS_FILE) else ())


def _remove(folder: Path, but: Sequence[str]) -> None:
    """Remove a fold's files, except those that ``sync`` needs to send the rest of them."""
    for path in list(folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in but:
            path.unlink()
    for emptied in (folder, folder.parent):
        if not any(emptied.iterdir()):
            emptied.rmdir()


def _begun_run(folder: Path) -> str | None:
    """The run that a stopped training of this fold was logged in."""
    try:
        run_id: str = read_json(folder / _RUN)["run_id"]
    except (OSError, ValueError, KeyError):
        return None
    return run_id if exists(run_id) else None

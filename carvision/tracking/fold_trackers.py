"""All trackers of one fold's training as one."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.entities import Run

from carvision.contracts import TrackerGroup
from carvision.tracking.event_log import EVENTS_FILE, EventLog
from carvision.tracking.mlflow_tracker import MlflowTracker
from carvision.tracking.progress_bar import TrainingProgress
from carvision.tracking.tensorboard_tracker import TensorBoardTracker
from carvision.tracking.wandb_tracker import WandbRun, wandb_tracker
from carvision.training.job import FoldJob
from carvision.workspace import TENSORBOARD, WANDB


@contextmanager
def fold_trackers(job: FoldJob, run: Run | None) -> Iterator[TrackerGroup]:
    """Report the training of ``job``, in its MLflow ``run`` if it has one."""
    run_id = None if run is None else run.info.run_id
    events = EventLog(job.folder / EVENTS_FILE, run_id)
    described = WandbRun(
        id=run_id or f"{job.set_id}-fold{job.fold}",
        name=job.name,
        group=job.set_id,
        settings=job.config.model_dump(mode="json"),
    )
    with (
        TrainingProgress() as bar,
        MlflowTracker(events) as to_mlflow,
        TensorBoardTracker(TENSORBOARD / job.set_id / f"fold{job.fold}") as board,
        wandb_tracker(job.config.tracking.wandb, described, WANDB) as wandb,
    ):
        # The event log first: the MLflow tracker sends what it finds there.
        yield TrackerGroup([events, to_mlflow, board, wandb, bar])

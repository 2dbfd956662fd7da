"""One fold's life: its run is opened, the fold is trained, its result is kept and delivered.

All of that works without a tracking server as well: the fold's result stays on the disk until one
is there. The run ends FINISHED when everything is in it, and not before.
"""

import shutil

from mlflow.entities import Run

from carvision.contracts import Tracker, TrackerGroup
from carvision.pipelines.command import command_to_go_on
from carvision.pipelines.train.begun_folds import (
    announce_others,
    begun_batch_size,
    begun_run,
    close_begun_run,
)
from carvision.reporting.console import announce
from carvision.store.fold_sets import STAGE_FOLD, fold_tags
from carvision.store.open_runs import tracked_run_if_reachable
from carvision.store.tags import PARENT
from carvision.tracking.fold_trackers import fold_trackers
from carvision.tracking.outbox.folds import (
    alone_with,
    deliver,
    write_finished,
)
from carvision.training import FoldResult, train_fold
from carvision.training.job import FoldJob


def train_in_own_run(
    job: FoldJob, parent_run_id: str, *, anew: bool = False, batch_size: int | None = None
) -> int:
    """Train a fold, or what is left of it, and log it in the run that it was begun in.

    That run is a child of ``parent_run_id``. ``anew`` forgets what was begun before.
    ``batch_size`` is what ``train.batch_size=auto`` chose for another fold of the set, if that is
    known; the batch size of this fold is returned.

    Raises:
        CarvisionError: another process trains this fold; and what
            :func:`carvision.training.train_fold` raises.
    """
    with alone_with(job.folder, job.name):
        close_begun_run(job)
        if anew:
            shutil.rmtree(job.folder, ignore_errors=True)
        announce_others(job)
        tags = fold_tags(job) | {PARENT: parent_run_id}
        with tracked_run_if_reachable(STAGE_FOLD, job.name, tags, begun_run(job)) as run:
            result = train_with_trackers(job, run, batch_size=batch_size)
            write_finished(job.folder, result, job.name, tags)
            if run is not None:
                deliver(job.folder, run)
    if run is None:
        deliver(job.folder)  # the server may be back
    return result.batch_size


def train_with_trackers(
    job: FoldJob,
    run: Run | None,
    *,
    batch_size: int | None = None,
    listener: Tracker | None = None,
) -> FoldResult:
    """Train a fold while all trackers report it, in ``run`` if there is one.

    ``listener`` hears of the training as well, after the trackers.

    Raises:
        CarvisionError: as :func:`carvision.training.train_fold`.
    """
    if job.config.train.batch_size == "auto" and batch_size is None:
        batch_size = begun_batch_size(job)
    with fold_trackers(job, run) as trackers:
        heard = trackers if listener is None else TrackerGroup([trackers, listener])
        try:
            return train_fold(job, heard, batch_size)
        except KeyboardInterrupt:
            again = command_to_go_on()
            announce(f"{job.name} stopped; the same command goes on from its checkpoint: {again}")
            raise

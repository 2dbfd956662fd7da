"""The folds of one backbone that a command trains, and which of them were finished before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlflow.entities import Run

from carvision.config import Config
from carvision.pipelines.prepare.prepared_data import PreparedData
from carvision.pipelines.train.begun_folds import begun_after
from carvision.reporting.console import announce
from carvision.store.fold_sets import finished_folds, usable_folds
from carvision.tracking.outbox.folds import deliver_all
from carvision.training.job import FoldJob, fold_jobs


@dataclass(frozen=True)
class FoldSet:
    """The folds that a command trains.

    ``jobs`` are all of them, ``finished`` has the runs of those that are finished, by fold. With
    ``anew``, what was begun of a fold before is forgotten.
    """

    jobs: tuple[FoldJob, ...]
    finished: Mapping[int, Run]
    anew: bool

    @property
    def config(self) -> Config:
        """The configuration of every fold."""
        return self.jobs[0].config

    @property
    def missing(self) -> list[FoldJob]:
        """The jobs that are not finished."""
        return [job for job in self.jobs if job.fold not in self.finished]


def fold_set_of(
    config: Config, prepared: PreparedData, folds: Sequence[int], resume: str
) -> FoldSet:
    """Make the set of ``folds``, after logging the results that wait on the disk.

    ``resume`` is ``auto`` or ``never``, as in :func:`carvision.pipelines.train.step.train`.

    Raises:
        CarvisionError: as :func:`carvision.training.job.fold_jobs`.
    """
    jobs = fold_jobs(config, prepared.manifest, prepared.layout.root, folds)
    deliver_all(jobs[0].set_folder)
    if resume == "never":
        return FoldSet(jobs, {}, anew=True)
    finished = {
        fold: run
        for fold, run in usable_folds(jobs[0].set_id).items()
        # A fold that resume=never began once more goes on.
        if not begun_after(jobs[0].of_fold(fold), run)
    }
    if not finished and config.precision == "auto":
        _announce_unknown_precision(jobs[0])
    return FoldSet(jobs, finished, anew=False)


def _announce_unknown_precision(job: FoldJob) -> None:
    """Announce finished folds that cannot be reused: an earlier version logged precision=auto."""
    if folds := finished_folds(replace(job, precision="auto").set_id):
        announce(
            f"{job.config.name}: fold {', '.join(map(str, folds))} was trained by an earlier "
            "version, which did not log the precision that auto selected. It is trained again; "
            "registered versions of it stay"
        )

"""What earlier processes left of a fold: the run to go on in, the batch size, other beginnings.

A fold goes on only from checkpoints of its own settings and data. If one setting changes, or one
photo is excluded, the fold gets another folder, and hours of training would seem to be lost; so
what was begun elsewhere is announced.
"""

from pathlib import Path
from typing import Any

from mlflow.entities import Run

from carvision.files import read_json, write_json
from carvision.reporting.console import announce
from carvision.store.fold_sets import BATCH_SIZE, batch_size_of
from carvision.store.killed_runs import close_abandoned
from carvision.store.server import TRACKING_ERRORS, require_server
from carvision.tracking.event_log import EVENTS_FILE, read_events, run_named_in
from carvision.tracking.outbox.folds import waiting_metrics
from carvision.training.checkpoint import checkpoints, peek_checkpoint
from carvision.training.identity import differences, is_of_this_version
from carvision.training.job import FoldJob

_SETTINGS = "settings.json"


def begun_run(job: FoldJob) -> str:
    """The ID of the run that a fold was begun in; empty if there is none."""
    return run_named_in(read_events(job.folder / EVENTS_FILE))


def begun_after(job: FoldJob, finished: Run) -> bool:
    """Whether a fold was begun anew after its run ``finished``, and stopped.

    A fold that was begun before is no longer needed: another machine has finished it.
    """
    events = read_events(job.folder / EVENTS_FILE)
    begun = min((event.time for event in events), default=0.0)
    return 1000 * begun > finished.info.end_time


def begun_batch_size(job: FoldJob) -> int | None:
    """The batch size that ``train.batch_size=auto`` chose for a fold of the job's set, if any.

    Folds on the disk are asked first: that needs no server.
    """
    for folder in sorted(job.set_folder.glob("fold*")):
        if (size := waiting_metrics(folder).get(BATCH_SIZE)) is not None:
            return int(size)
        if (state := peek_checkpoint(folder)) is not None and "batch_size" in state:
            return int(state["batch_size"])
    try:
        require_server()
        return batch_size_of(job.set_id)
    except TRACKING_ERRORS as error:
        announce(f"the batch size of train.batch_size=auto is searched anew: {error}")
        return None


def close_begun_run(job: FoldJob) -> None:
    """End the run that a killed process left open for a fold, and the runs around it.

    The caller holds the fold's folder, so no other process trains the fold.
    """
    if not (run_id := begun_run(job)):
        return
    try:
        require_server()
        for closed in close_abandoned(run_id):
            announce(f"run {closed.info.run_name} was killed before; it is marked so")
    except TRACKING_ERRORS as error:
        announce(f"runs that were killed before may show as RUNNING: {error}")


def announce_others(job: FoldJob) -> None:
    """Name what was begun of a fold elsewhere, if it begins in its folder; note its identity."""
    if checkpoints(job.folder):
        return
    write_json(job.folder / _SETTINGS, job.identity)
    for other in sorted(job.home.glob(f"*/{job.folder.name}")):
        found = _settings(other)
        if other == job.folder or found is None or not checkpoints(other):
            continue
        if found.get("name") == job.config.name:
            how = "To go on with that, give it the same settings and data"
            if not is_of_this_version(found, job.identity):
                how = "Only the version of carvision that began it can go on with it"
            announce(
                f"{job.name} is trained anew. It was begun with other settings or data before, and "
                f"is not finished: {', '.join(differences(found, job.identity))}. {how}; its "
                f"checkpoints are kept in {other}, until you remove them"
            )


def _settings(folder: Path) -> dict[str, Any] | None:
    try:
        settings = read_json(folder / _SETTINGS)
    except (OSError, ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None

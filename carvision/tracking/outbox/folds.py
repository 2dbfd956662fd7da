"""The result of a fold: a record in ``finished/`` of the fold's folder, until its run has it.

Its artifacts are the weights and the out-of-fold predictions of the best epoch. The fold's run gets
them, and what it lacks of the event log, and ends FINISHED; then the fold's folder is removed.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
from mlflow.entities import Run

from carvision.contracts import write_predictions
from carvision.contracts.checksums import SUMS, sums_of
from carvision.errors import TrackingError
from carvision.files import flush, link_or_copy, replacing_folder
from carvision.store.client import client
from carvision.store.fold_sets import EPOCHS, PREDICTIONS, STAGE_FOLD, WEIGHTS, best_metrics
from carvision.store.open_runs import end_run, tracked_run
from carvision.tracking.event_log import EVENTS_FILE, EventLog, read_events, run_named_in
from carvision.tracking.outbox.delivery import Results, tried
from carvision.tracking.outbox.events import send_pending
from carvision.tracking.outbox.record import read_about, read_metrics, recording, send
from carvision.training import FoldResult
from carvision.training.checkpoint import remove_checkpoints
from carvision.workspace import fold_lock

log = logging.getLogger(__name__)

_FINISHED = "finished"


def alone_with(folder: Path, what: str) -> AbstractContextManager[None]:
    """Hold a fold's folder.

    Raises:
        CarvisionError: another process trains or delivers the fold, and is busy with ``what``.
    """
    return _results(folder).held(what)


def write_finished(folder: Path, result: FoldResult, name: str, tags: Mapping[str, str]) -> None:
    """Write a fold's result, whole or not at all; then remove its checkpoints.

    ``name`` and ``tags`` are those of its run.
    """
    with replacing_folder(folder / _FINISHED) as temporary:
        with recording(temporary, {"name": name}) as record:
            weights = record.artifacts / WEIGHTS / result.weights.name
            weights.parent.mkdir()
            # Not moved: until the record is whole, training can be ended again from a checkpoint.
            link_or_copy(result.weights, weights)
            predictions = record.artifacts / PREDICTIONS
            write_predictions(predictions, result.predictions)
            np.save(predictions / EPOCHS, result.epochs_true_class)
            record.metrics.update(best_metrics(result))
            # By the sums, a reader notices a file that was damaged on its way or later.
            record.tags.update({**tags, SUMS: sums_of(record.artifacts)})
        flush(temporary)  # before the checkpoints go
    result.weights.unlink()
    remove_checkpoints(folder)


def is_finished(folder: Path) -> bool:
    """Whether a fold has a result that waits for its run."""
    return _results(folder).are_complete


def waiting_metrics(folder: Path) -> dict[str, float]:
    """The metrics of a result that waits; none where there is no result.

    Raises:
        TrackingError: the result is damaged.
    """
    if not is_finished(folder):
        return {}
    try:
        return read_metrics(folder / _FINISHED)
    except TrackingError as error:
        raise _damaged(folder, error) from error


def deliver(folder: Path, run: Run | None = None) -> list[int] | None:
    """Deliver a fold's result to its run, which ends FINISHED, and remove the fold's folder.

    ``run`` is open, and then the caller holds the folder. Without it, the run that the fold was
    begun in is opened again, or a new one.

    Returns the epochs that the run lacked; None where the result has to wait. Then a warning says
    so, and ``run`` ends KILLED.
    """
    try:
        return tried(lambda: _deliver(folder, run))
    except Exception as error:  # whatever fails, hours of training are safe on the disk
        if run is not None:
            end_run(run, "KILLED")
        log.warning(
            "%s is finished and cannot be logged yet (%s); it is kept, and logged by `mlflow run . "
            "-e sync` and by the next training with these settings",
            folder,
            error,
        )
        return None


def deliver_all(set_folder: Path) -> list[Path]:
    """Deliver the results of a fold set; return the folders of those that have to wait."""
    left = []
    for finished in sorted(set_folder.glob(f"fold*/{_FINISHED}")):
        folder = finished.parent
        if not is_finished(folder):
            _remove(folder)  # its removal was interrupted
        elif deliver(folder) is None:
            left.append(folder)
    return left


def _results(folder: Path) -> Results:
    return Results(folder, record=folder / _FINISHED, lock=fold_lock(folder))


def _deliver(folder: Path, run: Run | None) -> list[int]:
    if run is not None:
        return _deliver_to(folder, nullcontext(run))
    with alone_with(folder, str(folder)):
        return _deliver_to(folder, _reopened(folder))


def _deliver_to(folder: Path, opened: AbstractContextManager[Run]) -> list[int]:
    if not is_finished(folder):
        return []  # an earlier try, or another process, has delivered it
    with opened as run:
        run_id = run.info.run_id
        events = EventLog(folder / EVENTS_FILE, run_id)
        epochs = send_pending(events.path)
        send(folder / _FINISHED, run_id)
        client().log_artifact(run_id, str(events.path))
        # Ended before its files go: only a run that is FINISHED counts as trained.
        client().set_terminated(run_id, "FINISHED")
        end_run(run, "FINISHED")
    log.info("%s is logged, in run %s", run.info.run_name, run_id)
    _remove(folder)
    return epochs


@contextmanager
def _reopened(folder: Path) -> Iterator[Run]:
    """The run that a fold was begun in, or a new one where that is gone."""
    try:
        about = read_about(folder / _FINISHED)
    except TrackingError as error:
        raise _damaged(folder, error) from error
    begun = run_named_in(read_events(folder / EVENTS_FILE))
    with tracked_run(STAGE_FOLD, about["name"], about["tags"], begun) as run:
        yield run


def _damaged(folder: Path, error: TrackingError) -> TrackingError:
    return TrackingError(f"{error}; remove {folder}, and the fold is trained again")


def _remove(folder: Path) -> None:
    _results(folder).remove()
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()

"""The results of a step: a record in ``work/outbox/<run>/``, until its run has all of it.

The folder may hold more than the record, for the last step of a delivery (``finish``), such as the
registration of an ensemble. What could not be delivered is delivered by the next command.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities import Run
from mlflow.environment_variables import MLFLOW_RUN_ID

from carvision.errors import TrackingError
from carvision.files import flush, read_json, replacing_folder
from carvision.store.client import client
from carvision.store.open_runs import end_run, tracked_run
from carvision.store.runs import exists
from carvision.store.server import TRACKING_ERRORS, shown_uri, unreachable
from carvision.store.tags import STAGE
from carvision.tracking.outbox.delivery import Results, tried
from carvision.tracking.outbox.record import ABOUT, Record, read_about, recording, send
from carvision.workspace import OUTBOX, results_lock

log = logging.getLogger(__name__)

#: The last step of a delivery: it gets the record's folder, while the run is open.
Finish = Callable[[Path], None]


@contextmanager
def recorded(run: Run, finish: Finish | None = None) -> Iterator[Record]:
    """Write what the block logs to the disk, then deliver it to the open ``run``.

    Results that cannot be delivered now wait on the disk, and a warning says so.

    Raises:
        TrackingError: ``finish`` has to wait, so that what it does is not done yet.
        Exception: what ``finish`` raises while the tracking server answers.
    """
    results = _results(OUTBOX / run.info.run_id)
    about = {
        "run_id": run.info.run_id,
        "experiment_id": run.info.experiment_id,
        "name": run.info.run_name,
        "stage": run.data.tags[STAGE],
        "store": shown_uri(),
    }
    with results.held():
        with replacing_folder(results.folder) as temporary, recording(temporary, about) as record:
            yield record
        reason = _deliver(results.folder, run.info.run_id, finish)
        if reason is None:
            results.remove()
            return
    flush(results.folder)
    message = (
        f"the results of run {run.info.run_name} are not in MLflow yet: {reason}\nThey are kept in "
        f"{results.folder}, and sent by `mlflow run . -e sync` and by the next command"
    )
    if finish is not None:
        raise TrackingError(message)
    log.warning("%s", message)


def waiting() -> list[Path]:
    """The records of this tracking store that wait for their delivery."""
    found = []
    # A name with a dot is that of a record that is being written.
    for about in sorted(OUTBOX.glob(f"[!.]*/{ABOUT}")):
        try:
            if read_json(about)["store"] == shown_uri():
                found.append(about.parent)
        except FileNotFoundError:
            continue  # another process has just delivered it
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s is damaged and passed over (%s); remove its folder", about, error)
    return found


def deliver_waiting(finish: Finish) -> list[Path]:
    """Deliver what earlier commands left, each record to its run; return those that wait longer.

    ``finish`` is called with each record. A record that another process holds waits for that.
    """
    left = []
    for folder in waiting():
        results = _results(folder)
        try:
            with results.held():
                if results.are_complete:
                    _deliver_later(results, finish)
        except Exception as error:  # whatever fails, the record is safe on the disk
            log.warning("%s waits longer: %s (to give it up, remove the folder)", folder, error)
            left.append(folder)
    return left


def _results(folder: Path) -> Results:
    return Results(folder, record=folder, lock=results_lock(folder.name))


def _deliver(folder: Path, run_id: str, finish: Finish | None) -> str | None:
    """Deliver a record to its open run; return the reason if it has to wait."""
    try:
        tried(lambda: send(folder, run_id))
    except Exception as error:  # whatever fails, the record is safe on the disk
        return str(error)
    if finish is not None:
        try:
            finish(folder)
        except TRACKING_ERRORS:
            if (reason := unreachable()) is None:
                raise
            return reason
    return None


def _deliver_later(results: Results, finish: Finish) -> None:
    about = read_about(results.record)
    # Records of earlier versions have no stage; a run's name begins with it.
    stage = about.get("stage") or about["name"].partition(" ")[0]
    run_id = about["run_id"]
    if not exists(run_id):
        # Made here: MLflow would take the run that `mlflow run` opened for this command.
        made = client().create_run(about["experiment_id"], run_name=about["name"])
        run_id = made.info.run_id
    with _handed_run_kept(), tracked_run(stage, about["name"], about["tags"], run_id) as run:
        try:
            send(results.record, run.info.run_id)
            finish(results.folder)
        except Exception:
            end_run(run, "KILLED")  # not FAILED: the step itself has succeeded
            raise
    results.remove()
    log.info("the results of %s are in MLflow now, in run %s", about["name"], run.info.run_id)


@contextmanager
def _handed_run_kept() -> Iterator[None]:
    """Keep the run that `mlflow run` opened for this command: MLflow forgets it with any run's end.

    The command opens it later.
    """
    handed = os.environ.get(MLFLOW_RUN_ID.name)
    try:
        yield
    finally:
        if handed is not None:
            os.environ[MLFLOW_RUN_ID.name] = handed

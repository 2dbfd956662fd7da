"""Results that wait for MLflow: the record of a step, from its end until its run has all of it.

``work/outbox/<run>/`` is a record (see :mod:`carvision.tracking.outbox.record`) that may hold more
for a last step, such as a registration. A tracking server that is away costs nothing: what waits is
delivered by ``sync`` and by the next command.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Run, RunTag

from carvision.errors import CarvisionError, TrackingError
from carvision.files import alone, flush, read_json, replacing_folder
from carvision.store.process import this_process
from carvision.store.runs import PROCESS, client, end_run, exists
from carvision.store.server import TRACKING_ERRORS, require_server, shown_uri, unreachable
from carvision.tracking.outbox.record import ABOUT, Record, recording, send
from carvision.workspace import OUTBOX

log = logging.getLogger(__name__)

#: Seconds before it is tried again.
_PAUSES = (1.0, 3.0)
#: Seconds between the making of a lock file and its being held.
_LONGEST_WAY = 60.0

#: The last step of a delivery: it gets the record's folder, with the run open.
Finish = Callable[[Path], None]


@contextmanager
def recorded(run: Run, finish: Finish | None = None) -> Iterator[Record]:
    """Keep what the block logs on the disk, and deliver it to the open ``run`` when it has ended.

    What cannot be delivered now waits, and is said.

    Raises:
        TrackingError: ``finish`` waits: what it does is not done yet.
    """
    folder = OUTBOX / run.info.run_id
    with _held(folder):
        others = {
            "run_id": run.info.run_id,
            "experiment_id": run.info.experiment_id,
            "name": run.info.run_name,
            "store": shown_uri(),
        }
        with replacing_folder(folder) as temporary, recording(temporary, others) as record:
            yield record
        reason = _deliver_now(folder, run.info.run_id, finish)
        if reason is None:
            _remove(folder)
            return
    flush(folder)
    kept = (
        f"the results of run {run.info.run_name} are not in MLflow yet: {reason}\nThey are kept in "
        f"{folder}, and sent by `mlflow run . -e sync` and by the next command"
    )
    if finish is not None:
        raise TrackingError(kept)
    log.warning("%s", kept)


def waiting() -> list[Path]:
    """Records of this store that wait for their delivery."""
    found = []
    # One that begins with a dot is being written.
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
    """Deliver what earlier commands left, each to its run; what has to wait longer.

    ``finish`` is called with each record. What another process holds is left to it.
    """
    _remove_idle_locks()
    left = []
    for folder in waiting():
        try:
            with _held(folder):
                if (folder / ABOUT).exists():
                    _deliver_later(folder, finish)
        except Exception as error:  # whatever fails, the record is safe on the disk
            log.warning("%s waits longer: %s (without its folder, it is given up)", folder, error)
            left.append(folder)
    return left


def _deliver_now(folder: Path, run_id: str, finish: Finish | None) -> str | None:
    """Why a record cannot be delivered; None where it is.

    Raises:
        Exception: what ``finish`` raises while the server answers.
    """
    for pause in (*_PAUSES, None):
        try:
            require_server()
            send(folder, run_id)
            break
        except Exception as error:  # whatever fails, the record is safe on the disk
            reason = str(error)
        if pause is None:
            return reason
        time.sleep(pause)
    if finish is not None:
        try:
            finish(folder)
        except TRACKING_ERRORS:
            if (away := unreachable()) is None:
                raise
            return away
    return None


def _deliver_later(folder: Path, finish: Finish) -> None:
    about = read_json(folder / ABOUT)
    with _opened_again(about) as run:
        send(folder, run.info.run_id)
        finish(folder)
    _remove(folder)
    log.info("%s: its results are logged now, in run %s", about["name"], run.info.run_id)


@contextmanager
def _opened_again(about: dict[str, Any]) -> Iterator[Run]:
    """The run that a record is of, or a new one where that was deleted."""
    run_id = about["run_id"]
    if not exists(run_id):
        made = client().create_run(about["experiment_id"], run_name=about["name"])
        run_id = made.info.run_id
    client().log_batch(run_id, tags=[RunTag(PROCESS, this_process())])
    run = mlflow.start_run(run_id, nested=mlflow.active_run() is not None)
    try:
        yield run
    except BaseException:
        end_run(run, "KILLED")
        raise
    end_run(run, "FINISHED")


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a record, written or to be written.

    Raises:
        CarvisionError: another process does.
    """
    lock = folder.with_name(f".{folder.name}.lock")
    with alone(lock, f"the results in {folder}"):
        try:
            yield
        finally:
            if not folder.exists():
                lock.unlink(missing_ok=True)


def _remove_idle_locks() -> None:
    """Remove the locks of records that a kill prevented; a new one may be on its way to be held."""
    for lock in OUTBOX.glob(".*.lock"):
        folder = lock.with_name(lock.name[1:].removesuffix(".lock"))
        if not folder.exists() and lock.stat().st_mtime < time.time() - _LONGEST_WAY:
            with suppress(CarvisionError), _held(folder):
                pass  # a lock without a record goes when it is let go


def _remove(folder: Path) -> None:
    # First: without it, what a kill leaves of the rest is not taken for a record.
    (folder / ABOUT).unlink()
    shutil.rmtree(folder)

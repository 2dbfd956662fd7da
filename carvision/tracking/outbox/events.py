"""From a fold's event log to its MLflow run: in order, each epoch once.

All events of a log belong to the run that it names last: training whose run was deleted goes on in
a new run, which gets the earlier epochs as well. ``sent.json`` beside the log holds that run and
the number of the last event that was sent. A kill between the sending and the writing of this file
repeats one event, which MLflow takes for the first: a metric of the same step, value and time is no
second point.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException

from carvision.errors import GoneError, TrackingError
from carvision.files import read_json, write_json
from carvision.store.client import client
from carvision.store.runs import exists
from carvision.store.server import is_missing, shown_uri
from carvision.tracking.event_log import (
    EPOCH,
    STARTED,
    WARNING,
    Event,
    read_events,
    run_named_in,
)

SENT_FILE: Final = "sent.json"
_LOCK = "sending.lock"
_WARNING_TAG = "carvision.warning"
#: MLflow refuses longer values of tags.
_LONGEST_TAG = 5000
#: The answer of a store about a run that is marked as deleted, among others.
_REFUSED = "INVALID_PARAMETER_VALUE"


def pending(log: Path) -> list[Event]:
    """The events of a log that its run lacks, in order; of an epoch reported twice, the last.

    An epoch that was sent is not sent again when training, gone on from a checkpoint, repeats it.
    """
    events = read_events(log)
    sent = _sent(log, run_named_in(events))
    wanted: dict[tuple[str, int | None], Event] = {}
    for event in events:
        if event.kind not in (STARTED, EPOCH, WARNING):
            continue
        key = _key(event)
        if key not in wanted or wanted[key].sequence > sent:
            # Last in order, not in the place of the one it replaces.
            wanted.pop(key, None)
            wanted[key] = event
    return [event for event in wanted.values() if event.sequence > sent]


def epochs_of(events: Iterable[Event]) -> list[int]:
    """The numbers of the epochs among events."""
    return [event.payload["epoch"] for event in events if event.kind == EPOCH]


def send_pending(log: Path) -> list[int]:
    """Send the events of a log that its run lacks; return the epochs among them.

    After each event ``sent.json`` is written. A log that names no run is left as it is.

    Raises:
        GoneError: the store has no such run any more.
        MlflowException: the store cannot be reached; what was sent before is noted.
        TrackingError: another process is sending this log.
    """
    sent: list[Event] = []
    try:
        with FileLock(log.with_name(_LOCK), blocking=False):
            run_id = run_named_in(read_events(log))
            for event in pending(log) if run_id else ():
                send_event(event, run_id)
                note = {"run_id": run_id, "sequence": event.sequence}
                write_json(log.with_name(SENT_FILE), note)
                sent.append(event)
    except Timeout:
        raise TrackingError(f"{log} is being sent by another process") from None
    return epochs_of(sent)


def send_event(event: Event, run_id: str) -> None:
    """Write an event into a run, in one call.

    Raises:
        GoneError: the store has no such run any more.
        MlflowException: the store cannot be reached, or refuses.
    """
    values, step, tags = {}, 0, []
    if event.kind == EPOCH:
        values, step = event.metrics, event.payload["epoch"]
    elif event.kind == STARTED:
        values = {"planned_steps": float(event.payload["total_steps"])}
    else:
        tags = [RunTag(_WARNING_TAG, event.payload["message"][:_LONGEST_TAG])]
    # The event's own time, not now: an event that is sent twice must be equal.
    moment = int(event.time * 1000)
    metrics = [Metric(name, value, moment, step) for name, value in values.items()]
    try:
        client().log_batch(run_id, metrics=metrics, tags=tags)
    except MlflowException as error:
        refused = is_missing(error) or error.error_code == _REFUSED
        if not refused or exists(run_id):
            raise
        raise GoneError(
            f"{shown_uri()} has no run {run_id} any more (it was deleted, or belongs to another "
            "MLFLOW_TRACKING_URI)"
        ) from error


def _key(event: Event) -> tuple[str, int | None]:
    """Equal for events of which a run gets one: a start, an epoch."""
    which = {EPOCH: event.payload.get("epoch"), WARNING: event.sequence}
    return event.kind, which.get(event.kind)


def _sent(log: Path, run_id: str) -> int:
    """The number of the last event that the run has; 0 where that is not known.

    Then all are sent again, and MLflow takes them for those that it has.
    """
    try:
        about = read_json(log.with_name(SENT_FILE))
        return int(about["sequence"]) if about["run_id"] == run_id else 0
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return 0

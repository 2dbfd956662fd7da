"""From a fold's event log to its MLflow run: in order, each epoch once.

All of a log belongs to the run that it names last: training whose run was deleted goes on in a new
one, which gets the epochs before as well. ``sent.json`` beside the log holds that run and the
number of the last event that it has. A kill between the sending and the writing of it repeats one
message, which MLflow takes for the first: a metric of the same step, value and time is no second
point.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException

from carvision.errors import TrackingError
from carvision.files import read_json, write_json
from carvision.store.runs import client
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
#: How a store says that there is no such run, and that it was deleted.
_NO_RUN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Message:
    """What an event amounts to in MLflow: one call."""

    run_id: str
    event: Event

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for events of which the run gets one: an epoch, and a start."""
        event = self.event
        which = {EPOCH: event.payload.get("epoch"), WARNING: event.sequence}
        return (event.kind, which.get(event.kind))

    def send(self) -> None:
        """Write it into its run.

        Raises:
            MlflowException: the store cannot be reached, or refuses.
        """
        payload, values, step, tags = self.event.payload, {}, 0, []
        if self.event.kind == EPOCH:
            values, step = self.event.metrics, payload["epoch"]
        elif self.event.kind == STARTED:
            values = {"planned_steps": float(payload["total_steps"])}
        else:
            tags = [RunTag(_WARNING_TAG, payload["message"][:_LONGEST_TAG])]
        # The event's own time, not now: a message that is repeated must be equal.
        moment = int(self.event.time * 1000)
        metrics = [Metric(name, value, moment, step) for name, value in values.items()]
        client().log_batch(self.run_id, metrics=metrics, tags=tags)


@dataclass(frozen=True)
class Delivery:
    """What was sent to a run, and whether that is not there any more."""

    run_id: str
    messages: tuple[Message, ...]
    gone: bool

    @property
    def epochs(self) -> list[int]:
        """The epochs that were sent."""
        return epochs_of(self.messages)


def epochs_of(messages: Iterable[Message]) -> list[int]:
    """The epochs among messages."""
    return [m.event.payload["epoch"] for m in messages if m.event.kind == EPOCH]


def pending(log: Path) -> list[Message]:
    """What its run lacks of a log, in order; of an epoch that was reported twice, the last.

    An epoch that was sent is not sent again when training, gone on from a checkpoint, repeats it.
    """
    events = read_events(log)
    run_id = run_named_in(events)
    sent = _sent(log, run_id)
    messages: dict[tuple[Any, ...], Message] = {}
    for event in events:
        if event.kind in (STARTED, EPOCH, WARNING):
            message = Message(run_id, event)
            before = messages.get(message.key)
            if before is None or before.event.sequence > sent:
                # Last in order, not in the place of the one it replaces.
                messages.pop(message.key, None)
                messages[message.key] = message
    return [message for message in messages.values() if message.event.sequence > sent]


def send_pending(log: Path) -> Delivery:
    """Send what its run lacks of a log, and remember it after each message.

    A log that names no run yet is left as it is.

    Raises:
        MlflowException: the store cannot be reached; what was sent until then is remembered.
        TrackingError: another process is sending this log.
    """
    sent: list[Message] = []
    try:
        with FileLock(log.with_name(_LOCK), blocking=False):
            run_id = run_named_in(read_events(log))
            for message in pending(log) if run_id else ():
                try:
                    message.send()
                except MlflowException as error:
                    if error.error_code not in _NO_RUN or _exists(run_id):
                        raise
                    return Delivery(run_id, tuple(sent), gone=True)
                about = {"run_id": run_id, "sequence": message.event.sequence}
                write_json(log.with_name(SENT_FILE), about)
                sent.append(message)
    except Timeout:
        raise TrackingError(f"{log} is being sent by another process") from None
    return Delivery(run_id, tuple(sent), gone=False)


def _sent(log: Path, run_id: str) -> int:
    """The number of the last event that the run has.

    Where that cannot be read all is sent again, which MLflow takes for what it has.
    """
    try:
        about = read_json(log.with_name(SENT_FILE))
        return int(about["sequence"]) if about["run_id"] == run_id else 0
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return 0


def _exists(run_id: str) -> bool:
    try:
        return bool(client().get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code in _NO_RUN:
            return False
        raise

"""A fold's training as a file: one JSON object a line, which no server can lose.

    {"sequence": 4, "time": 1764000000.25, "kind": "epoch", "payload": {"epoch": 2, "metrics": …}}

Events of the kind ``run`` name the MLflow run; the last of them counts, for the whole log. Training
that goes on from a checkpoint goes on in the same file, and may report an epoch a second time: the
last counts.
"""

import json
import logging
import math
import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from carvision.redaction import redacted

log = logging.getLogger(__name__)

EVENTS_FILE: Final = "events.jsonl"

RUN: Final = "run"
STARTED: Final = "started"
STEP: Final = "step"
EPOCH: Final = "epoch"
WARNING: Final = "warning"

#: What MLflow accepts as the ID of a run.
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w-]{0,255}")

#: Steps between two ``step`` events.
STEPS_APART: Final = 50


@dataclass(frozen=True)
class Event:
    """One line of the log; ``sequence`` counts from 1, ``time`` is in seconds since 1970."""

    sequence: int
    time: float
    kind: str
    payload: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """An epoch's metrics."""
        return {name: float(value) for name, value in self.payload["metrics"].items()}


class EventLog:
    """A tracker that appends to ``path``; it goes on where an earlier process stopped.

    ``run_id`` is the MLflow run that the log is of; None leaves that as it is, or for later.
    The file is opened for each event: nothing to close, and nothing that a worker could inherit.
    """

    def __init__(self, path: Path, run_id: str | None) -> None:
        # Absolute: the thread that sends the log must find it wherever the process has gone.
        self.path = path.absolute()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(self.path)
        events = read_events(self.path)
        self._sequence = max((event.sequence for event in events), default=0)
        if run_id is not None and run_named_in(events) != run_id:
            self._append(RUN, {"run_id": run_id})

    def run_started(self, description: str, total_steps: int) -> None:
        self._append(STARTED, {"description": description, "total_steps": total_steps})

    def step_ended(self, step: int, loss: float) -> None:
        if step % STEPS_APART == 0:
            self._append(STEP, {"step": step, "loss": _plain(loss)}, durable=False)

    def images_predicted(self, done: int, total: int) -> None:
        """Of no use once it is over."""

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        values = {name: _plain(value) for name, value in metrics.items()}
        self._append(EPOCH, {"epoch": epoch, "metrics": values})

    def warning(self, message: str) -> None:
        self._append(WARNING, {"message": redacted(message)})

    def _append(self, kind: str, payload: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write one line; a ``durable`` one is on the disk before it can be sent anywhere.

        Otherwise, after a power failure, its number could be given to another event, which would
        pass for sent.
        """
        event = {
            "sequence": self._sequence + 1,
            "time": time.time(),
            "kind": kind,
            "payload": payload,
        }
        line = json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        self._sequence += 1


def read_events(path: Path) -> list[Event]:
    """The log's events; a last line that a kill tore is passed over, as is what is no event."""
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    events = [_event(line) for line in lines[:-1]]
    # Only a disk that failed leaves such lines, and what is whole is still worth reading.
    if None in events[:-1]:
        log.warning("%s: %d damaged lines are passed over", path, events[:-1].count(None))
    return [event for event in events if event is not None]


def run_named_in(events: Iterable[Event]) -> str:
    """The MLflow run that a log is of; empty when it names none."""
    runs = [str(event.payload["run_id"]) for event in events if event.kind == RUN]
    return runs[-1] if runs else ""


def epoch_metrics(events: Iterable[Event]) -> dict[int, dict[str, float]]:
    """Metrics by epoch, as they were reported last."""
    found = {int(event.payload["epoch"]): event.metrics for event in events if event.kind == EPOCH}
    return dict(sorted(found.items()))


def _event(line: bytes) -> Event | None:
    try:
        event = Event(**json.loads(line))
        return event if _is_whole(event) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_whole(event: Event) -> bool:
    """Whether an event says what its readers need; its run is asked for by name.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it does not.
    """
    if type(event.sequence) is not int or not math.isfinite(event.time):
        return False
    payload = event.payload
    if event.kind == RUN:
        return _RUN_ID.fullmatch(payload["run_id"]) is not None
    if event.kind == EPOCH:
        return type(payload["epoch"]) is int and all(
            isinstance(name, str) for name in event.metrics
        )
    if event.kind == STARTED:
        return math.isfinite(float(payload["total_steps"]))
    if event.kind == WARNING:
        return isinstance(payload["message"], str)
    return isinstance(payload, dict)


def _cut_torn_line(path: Path) -> None:
    """End the file with a whole line, so that the next one starts a line."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("rb+") as file:
            file.truncate(len(whole))


def _plain(value: float) -> float | str:
    """A number that JSON has; NaN and infinity, which it has not, as text that float() reads."""
    number = float(value)
    return number if math.isfinite(number) else str(number)

"""A tracker that writes a fold's training into a file, one JSON object a line.

    {"sequence": 4, "time": 1764000000.25, "kind": "epoch", "payload": {"epoch": 2, "metrics": …}}

Events of the kind ``run`` name the MLflow run of the whole log; the last of them counts. Training
that goes on from a checkpoint goes on in the same file, and may report an epoch a second time: the
last report counts.
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

from carvision.contracts import Tracker
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


class EventLog(Tracker):
    """A tracker that appends to ``path``, also to what an earlier process wrote there.

    ``run_id`` is the MLflow run of the log; None leaves the run that the log names, if any.
    The file is opened for each event: there is nothing to close, or for a worker to inherit.
    """

    def __init__(self, path: Path, run_id: str | None) -> None:
        # Absolute: the thread that sends the log finds it after a change of the working directory.
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

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        values = {name: _plain(value) for name, value in metrics.items()}
        self._append(EPOCH, {"epoch": epoch, "metrics": values})

    def warning(self, message: str) -> None:
        self._append(WARNING, {"message": redacted(message)})

    def _append(self, kind: str, payload: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write one line; a ``durable`` one is on the disk before it can be sent anywhere.

        Otherwise another event could get its number after a power failure, and count as sent.
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
    """Read the events of a log; lines that hold no whole event are passed over."""
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    events = [_event(line) for line in lines[:-1]]
    # A kill leaves half a line at the end; damage before that comes from a failing disk.
    if None in events[:-1]:
        log.warning("%s: %d damaged lines are passed over", path, events[:-1].count(None))
    return [event for event in events if event is not None]


def run_named_in(events: Iterable[Event]) -> str:
    """The MLflow run of a log; empty when it names none."""
    runs = [str(event.payload["run_id"]) for event in events if event.kind == RUN]
    return runs[-1] if runs else ""


def _event(line: bytes) -> Event | None:
    try:
        event = Event(**json.loads(line))
        return event if _is_whole(event) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_whole(event: Event) -> bool:
    """Whether an event has the values that its readers need.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it has not.
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
    """Remove half a line at the end of the file, so that the next event starts a line."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("rb+") as file:
            file.truncate(len(whole))


def _plain(value: float) -> float | str:
    """A number for JSON; NaN and infinity, which JSON lacks, as text that float() reads."""
    number = float(value)
    return number if math.isfinite(number) else str(number)

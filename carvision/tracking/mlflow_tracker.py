"""A fold's training as seen by MLflow, whose server may go away and come back."""

import logging
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from carvision.contracts import Tracker
from carvision.errors import TrackingError
from carvision.store.server import unreachable
from carvision.tracking.event_log import EventLog
from carvision.tracking.outbox.events import epochs_of, pending, send_pending

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0


class MlflowTracker(Tracker):
    """Sends what stands in the event log, from a thread of its own; training never waits for it.

    The log is the queue: it must hear of an event before this tracker does. What an earlier process
    left unsent goes first. One call an epoch: a call costs 26 ms on SQLite.
    """

    def __init__(
        self, events: EventLog, *, pause: float = 1.0, close_seconds: float = 10.0
    ) -> None:
        self._path = events.path
        self._pause = pause
        self._close_seconds = close_seconds
        self._news = threading.Event()
        self._closing = threading.Event()
        self._told: set[str] = set()
        self._news.set()
        # A daemon: MLflow may try a call for minutes, and a program that has ended must end.
        self._thread = threading.Thread(target=self._work, name="mlflow-tracker", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run_started(self, description: str, total_steps: int) -> None:
        self._news.set()

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._news.set()

    def warning(self, message: str) -> None:
        self._news.set()

    def close(self) -> bool:
        """Try once more to send what is left; whether MLflow has everything now."""
        self._closing.set()
        self._news.set()
        self._thread.join(self._close_seconds)
        unsent = pending(self._path)
        if unsent:
            self._tell(
                f"MLflow lacks {len(epochs_of(unsent))} epochs of {self._path}; once it can be "
                "reached, this sends them: mlflow run . -e sync",
                once="unsent",
            )
        return not unsent and not self._thread.is_alive()

    def _work(self) -> None:
        pause, failed = self._pause, False
        while True:
            if failed:
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = self._pause
                self._news.wait()
            # Both are looked at before the log is read: nothing that comes later is missed.
            self._news.clear()
            last = self._closing.is_set()
            failed = not self._send()
            if last:
                return

    def _send(self) -> bool:
        try:
            reason = unreachable()
            if reason is not None:
                raise TrackingError(f"the server cannot be reached: {reason}")
            delivery = send_pending(self._path)
        # Whatever fails here, training goes on, and so does this thread.
        except Exception as error:
            self._tell(
                f"MLflow cannot be told of the training ({error}); that goes on, and "
                f"{self._path} keeps what is to be sent",
                once="unreachable",
            )
            return False
        if delivery.gone:
            run_id = delivery.run_id
            self._tell(f"MLflow has no run {run_id} any more; {self._path} keeps it", once=run_id)
        return True

    def _tell(self, message: str, *, once: str) -> None:
        if once not in self._told:
            self._told.add(once)
            log.warning("%s", message)

"""A tracker that writes a fold's training into MLflow, whose server may go away and come back."""

import logging
import threading
from collections.abc import Mapping

from carvision.errors import GoneError, TrackingError
from carvision.store.server import shown_uri, unreachable
from carvision.tracking.closing_tracker import ClosingTracker
from carvision.tracking.event_log import EventLog
from carvision.tracking.outbox.events import epochs_of, pending, send_pending

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 60.0


class MlflowTracker(ClosingTracker):
    """Sends the events of a log from a thread of its own; training never waits for it.

    The log is the queue, so it has to be told of an event before this tracker. Events that an
    earlier process did not send go first. An epoch is one call: a call takes 26 ms on SQLite.
    ``pause`` is the time in seconds before a failed call is repeated, and doubles each time;
    ``close_seconds`` is how long :meth:`close` waits for the thread.
    """

    def __init__(
        self, events: EventLog, *, pause: float = 1.0, close_seconds: float = 10.0
    ) -> None:
        self._path = events.path
        self._pause = pause
        self._close_seconds = close_seconds
        self._news = threading.Event()
        self._closing = threading.Event()
        self._warned: set[str] = set()
        self._news.set()
        # A daemon: MLflow may try a call for minutes, and a program that has ended must end.
        self._thread = threading.Thread(target=self._work, name="mlflow-tracker", daemon=True)
        self._thread.start()

    def run_started(self, description: str, total_steps: int) -> None:
        self._news.set()

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._news.set()

    def warning(self, message: str) -> None:
        self._news.set()

    def close(self, *, failed: bool = False) -> None:
        """Try once more to send what is left, and warn of what could not be sent."""
        self._closing.set()
        self._news.set()
        self._thread.join(self._close_seconds)
        if unsent := pending(self._path):
            self._warn(
                f"MLflow lacks {len(epochs_of(unsent))} epochs of {self._path}; once it can be "
                "reached, this sends them: mlflow run . -e sync",
                once="unsent",
            )

    def _work(self) -> None:
        pause, failed = self._pause, False
        while True:
            if failed:
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = self._pause
                self._news.wait()
            # Both before the log is read: an event that comes later wakes this thread again.
            self._news.clear()
            last = self._closing.is_set()
            failed = not self._send()
            if last:
                return

    def _send(self) -> bool:
        """Whether nothing is left that another try could send."""
        try:
            if (reason := unreachable()) is not None:
                raise TrackingError(f"{shown_uri()} does not answer: {reason}")
            send_pending(self._path)
        except GoneError as error:
            self._warn(f"{error}; {self._path} keeps its epochs", once=str(error))
        # Whatever fails here, training goes on, and so does this thread.
        except Exception as error:
            self._warn(
                f"MLflow cannot be told of the training ({error}); that goes on, and "
                f"{self._path} keeps what is to be sent",
                once="unreachable",
            )
            return False
        return True

    def _warn(self, message: str, *, once: str) -> None:
        if once not in self._warned:
            self._warned.add(once)
            log.warning("%s", message)

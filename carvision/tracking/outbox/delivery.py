"""The delivery of the results of a step or of a fold: one process holds, sends and removes them.

The process that writes results holds them until its run has all of them. Results that could not be
delivered stay on the disk, for the next process that holds them. A delivery can be repeated: see
:func:`carvision.tracking.outbox.record.send`.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from carvision.files import alone
from carvision.store.server import require_server
from carvision.tracking.outbox.record import ABOUT

#: Seconds between the tries of a delivery.
PAUSES = (1.0, 3.0)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Results:
    """A ``record`` that waits; its ``folder``, which may hold more, is removed with it."""

    folder: Path
    record: Path
    lock: Path

    @property
    def are_complete(self) -> bool:
        """Whether they are on the disk, whole."""
        return (self.record / ABOUT).exists()

    def held(self, what: str = "") -> AbstractContextManager[None]:
        """Hold the results, written or to be written.

        Raises:
            CarvisionError: another process holds them, and is busy with ``what``.
        """
        return alone(self.lock, what or f"the results in {self.folder}")

    def remove(self) -> None:
        """Remove results that the run has."""
        # First: without this file, the rest, which a kill may leave, is not taken for a record.
        (self.record / ABOUT).unlink(missing_ok=True)
        shutil.rmtree(self.folder)


def tried(deliver: Callable[[], _T]) -> _T:
    """Call ``deliver`` up to three times; each try begins with a check of the tracking server.

    Raises:
        Exception: the error of the last try; the results are still on the disk.
    """
    for pause in PAUSES:
        try:
            require_server()
            return deliver()
        except Exception:
            time.sleep(pause)
    require_server()
    return deliver()

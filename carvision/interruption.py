"""Ctrl-C and termination: they stop a command even where Python loses the exception.

The handler raises KeyboardInterrupt. Python drops an exception that is raised in a destructor, and
so does C code that asks whether an object has an attribute. So the handler also leaves a mark, and
long loops ask for it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

#: Sent when a terminal is closed; Windows has no such signal.
_HANG_UP: Final = getattr(signal, "SIGHUP", None)
_INTERRUPTIONS: Final = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, _HANG_UP)))
_interrupted: Final = threading.Event()


@contextmanager
def interruptions_handled() -> Iterator[None]:
    """Let each of these signals raise KeyboardInterrupt, in the block and after it, once."""
    for number in _INTERRUPTIONS:
        # `nohup` has this signal ignored: it stays so.
        if number != _HANG_UP or signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _interrupted.clear()


def raise_if_interrupted() -> None:
    """Call this where a loop goes on.

    Raises:
        KeyboardInterrupt: this process was interrupted before.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, so that runs end KILLED and temporary files are removed.

    The terminal sends Ctrl-C to ``mlflow run`` and to this process, and ``mlflow run`` then
    terminates this process: the second signal must not stop the clean-up. (Not by SIG_IGN: Python
    would complain about a signal that has already arrived.)
    """
    _interrupted.set()
    for other in _INTERRUPTIONS:
        signal.signal(other, lambda number, frame: None)
    raise KeyboardInterrupt

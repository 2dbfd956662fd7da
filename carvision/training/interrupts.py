"""Interrupts that wait until the state in memory is consistent."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from carvision.interruption import raise_if_interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Defer SIGINT and SIGTERM until the block has ended; a second signal acts at once.

    An optimiser step is such a block: in the middle of it the weights, the optimiser and the
    counters do not belong together, so a checkpoint of them would be useless.

    Raises:
        KeyboardInterrupt: before the block, if an earlier one was lost.
    """
    raise_if_interrupted()
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set handlers, and Python handles signals there
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    pending: list[int] = []

    def defer(number: int, frame: FrameType | None) -> None:
        pending.append(number)
        _restore(handlers)

    for number in _SIGNALS:
        signal.signal(number, defer)
    try:
        yield
    finally:
        _restore(handlers)
    if pending:
        signal.raise_signal(pending[0])


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        # None: the handler was not set from Python, and cannot be set again from Python.
        if handler is not None:
            signal.signal(number, handler)

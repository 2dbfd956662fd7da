"""Ctrl-C at a moment when what is in memory fits together."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Put off SIGINT and SIGTERM until the block has ended; then they act as they would have.

    A step of training is such a block: between its halves the weights, the optimiser and the
    counters do not belong together, and no checkpoint of them would be of use. A second signal acts
    at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets the main thread alone set handlers, and handles signals there
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    pending: list[tuple[int, FrameType | None]] = []

    def defer(number: int, frame: FrameType | None) -> None:
        pending.append((number, frame))
        _restore(handlers)

    for number in _SIGNALS:
        signal.signal(number, defer)
    try:
        yield
    finally:
        _restore(handlers)
    if pending:
        signal.raise_signal(pending[0][0])


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        # None where the handler was not set from Python: it cannot be put back from here either.
        if handler is not None:
            signal.signal(number, handler)

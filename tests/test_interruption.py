"""Ctrl-C stops a command also where Python loses the exception."""

import signal
from collections.abc import Callable, Iterator

import pytest

from carvision.interruption import interruptions_handled, raise_if_interrupted
from carvision.reporting.console import progress
from carvision.training.interrupts import deferred_interrupts


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


class _InDestructor:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class _InAttribute:
    def __getattr__(self, name: str) -> None:
        signal.raise_signal(signal.SIGTERM)


def _lost_in_a_destructor() -> None:
    held = _InDestructor()
    del held


def _lost_in_an_attribute() -> None:
    # C code asks so whether an object can be converted.
    with pytest.raises(KeyboardInterrupt):
        _InAttribute().anything  # noqa: B018


def _a_step() -> None:
    with deferred_interrupts():
        pass


def _a_bar() -> None:
    with progress("counting", 2) as advance:
        advance(1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("lost", [_lost_in_a_destructor, _lost_in_an_attribute])
@pytest.mark.parametrize("goes_on", [raise_if_interrupted, _a_step, _a_bar])
def test_a_loop_ends_after_an_interrupt_that_was_lost(
    lost: Callable[[], None], goes_on: Callable[[], None]
) -> None:
    with interruptions_handled():
        goes_on()
        lost()
        with pytest.raises(KeyboardInterrupt):
            goes_on()
    goes_on()  # the next command of this process


def test_a_second_signal_does_not_stop_the_clean_up() -> None:
    with interruptions_handled():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)

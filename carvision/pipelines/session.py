"""What every entry point does around its steps: a quiet terminal, plain errors, an address."""

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import typer
from mlflow.entities import Run

from carvision.errors import CarvisionError
from carvision.reporting.console import console, set_up_logging
from carvision.tracking.store import is_local_store, quiet_mlflow, run_address

log = logging.getLogger(__name__)


def run_entry_point(command: Callable[..., None]) -> NoReturn:
    """Run a command line; an error that is meant for the user is printed without a traceback.

    The exit status is 1 after such an error, 130 after Ctrl-C.
    """
    set_up_logging()
    quiet_mlflow()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except CarvisionError as error:
        console.print("error:", style="bold red", end=" ")
        console.print(str(error), markup=False, highlight=False)
        sys.exit(1)
    sys.exit(0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Unwind, so that runs end KILLED and temporary files go.

    ``mlflow run`` answers Ctrl-C by terminating its child, which has had the Ctrl-C already: a
    second signal must not stop the unwinding. (SIG_IGN would make Python complain of a second one
    that has arrived already.)
    """
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, lambda number, frame: None)
    raise KeyboardInterrupt


def announce(message: str) -> None:
    """A line about what happens, and why."""
    log.info("%s", message)


def show_address(run: Run) -> None:
    """Where this run is found in the UI."""
    hint = "  (start it with: make ui)" if is_local_store() else ""
    console.print(f"run: {run_address(run)}{hint}", highlight=False, soft_wrap=True)

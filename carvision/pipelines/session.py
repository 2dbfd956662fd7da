"""What every entry point does around its steps: a quiet terminal, plain errors, an address."""

import errno
import logging
import shlex
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

import typer
from mlflow.entities import Run

from carvision.errors import CarvisionError
from carvision.redaction import redacted
from carvision.reporting.console import console, set_up_logging
from carvision.tracking.server import (
    SERVER_ERRORS,
    limit_patience,
    server_away,
    unreachable,
)
from carvision.tracking.store import (
    close_killed_runs,
    is_local_store,
    quiet_mlflow,
    run_address,
)
from carvision.tracking.store_errors import store_problem

log = logging.getLogger(__name__)

#: typer exports the kinds below it alone, and may bring a click of its own.
_UsageError: type[Exception] = typer.BadParameter.mro()[1]

#: What the user can mend without reading a traceback.
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
)


def run_entry_point(command: Callable[..., None]) -> NoReturn:
    """Run a command line; an error that is meant for the user is printed without a traceback.

    The exit status is 1 after such an error, 130 after Ctrl-C.
    """
    set_up_logging()
    quiet_mlflow()
    limit_patience()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    status = 0
    try:
        # Not standalone: the errors are ours to print. It then returns the exit status.
        status = app(standalone_mode=False) or 0
    except _UsageError as error:
        _fail(_usage(error))
    except typer.Abort:
        status = 130  # what earlier versions of typer make of Ctrl-C
    except CarvisionError as error:
        _fail(str(error))
    except SERVER_ERRORS:
        reason = unreachable()
        if reason is None:
            raise
        _fail(str(server_away(reason)))
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        _fail(f"the disk refused: {error}; make room or give write access, then run this again")
    except Exception as error:
        if (sentence := store_problem(error)) is None:
            raise
        _fail(sentence)
    sys.exit(status)


def _usage(error: Any) -> str:
    """What is wrong with the parameters, and which there are, as ``mlflow run`` spells them."""
    options = [option.opts[0] for option in error.ctx.command.params]
    names = [option.removeprefix("--").replace("-", "_") for option in options]
    return (
        f"{error.format_message()}\nThe parameters are {', '.join(names)}; each is given as "
        "-P name=value"
    )


def _fail(message: str) -> NoReturn:
    console.print("error:", style="bold red", end=" ")
    console.print(redacted(message), markup=False, highlight=False)
    sys.exit(1)


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


def command_to_go_on() -> str:
    """The command line of this process, as it goes on with what it has begun."""
    arguments = ["auto" if word == "never" else word for word in sys.orig_argv[1:]]
    return shlex.join(["python", *arguments])


def close_killed() -> None:
    """End the runs that killed processes left open, and say so."""
    for killed in close_killed_runs():
        announce(f"run {killed.info.run_name} was killed before; it is marked so")


def show_address(run: Run) -> None:
    """Where this run is found in the UI."""
    hint = "  (start it with: make ui)" if is_local_store() else ""
    console.print(f"run: {run_address(run)}{hint}", highlight=False, soft_wrap=True)

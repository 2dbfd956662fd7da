"""What every entry point does around its steps: a quiet terminal, plain errors, an address."""

import errno
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

import typer
from mlflow.entities import Run

from carvision.config import nearest, nearest_name, setting_names
from carvision.errors import CarvisionError
from carvision.redaction import redacted
from carvision.reporting.console import console, print_error, set_up_logging
from carvision.reporting.streams import guard_streams
from carvision.store.errors import store_problem
from carvision.store.runs import (
    close_killed_runs,
    is_local_store,
    quiet_mlflow,
    run_address,
)
from carvision.store.server import (
    SERVER_ERRORS,
    limit_patience,
    server_away,
    unreachable,
)
from carvision.store.unstarted import unstarted_run_closed

log = logging.getLogger(__name__)

#: typer exports the kinds below it alone, and may bring a click of its own.
_UsageError: type[Exception] = typer.BadParameter.mro()[1]

#: What the user can mend without reading a traceback.
_DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
)

#: A terminal that is closed hangs up; Windows knows no such signal.
_HANG_UP = getattr(signal, "SIGHUP", None)
_INTERRUPTIONS = tuple(filter(None, (signal.SIGINT, signal.SIGTERM, _HANG_UP)))

_INTERRUPTED = 130


def run_entry_point(command: Callable[..., None]) -> NoReturn:
    """Run a command line; an error that is meant for the user is printed without a traceback.

    The exit status is 1 after such an error, 130 after Ctrl-C.
    """
    guard_streams()
    set_up_logging()
    quiet_mlflow()
    limit_patience()
    for number in _INTERRUPTIONS:
        # What `nohup` ignores stays ignored.
        if number != _HANG_UP or signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    status = 0
    try:
        # Not standalone: the errors are ours to print. It then returns the exit status.
        with unstarted_run_closed():
            status = app(_joined(sys.argv[1:]), standalone_mode=False) or 0
            if status == _INTERRUPTED:
                raise KeyboardInterrupt
    except _UsageError as error:
        _fail(_usage(error))
    except (KeyboardInterrupt, typer.Abort):  # as this or an earlier version of typer has it
        status = _INTERRUPTED
    except CarvisionError as error:
        _fail(str(error))
    except Exception as error:
        if (sentence := _sentence_about(error)) is None:
            raise
        _fail(sentence)
    sys.exit(status)


def _sentence_about(error: Exception) -> str | None:
    """What the user can do about a server, a store or a disk that fails; None for a defect."""
    if isinstance(error, SERVER_ERRORS) and (reason := unreachable()) is not None:
        return str(server_away(reason))
    if (sentence := store_problem(error)) is not None:
        return sentence
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return f"the disk refused: {error}; make room or give write access, then run this again"
    return None


def _joined(arguments: Sequence[str]) -> list[str]:
    """The command line with its settings in one: a second ``--set`` adds to the first."""
    settings: list[str] = []
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        if word.startswith("--set="):
            settings.append(word.removeprefix("--set="))
        elif word == "--set" and (value := next(words, None)) is not None:
            settings.append(value)
        else:
            others.append(word)
    return [*others, "--set", " ".join(settings)] if len(settings) > 1 else list(arguments)


def _usage(error: Any) -> str:
    """What is wrong with the parameters, and which there are, as ``mlflow run`` spells them."""
    options = [option.opts[0] for option in error.ctx.command.params]
    names = [option.removeprefix("--").replace("-", "_") for option in options]
    wrong = error.format_message()
    if hasattr(error, "possibilities"):
        wrong = f"No such option: {error.option_name}{_meant(error.option_name, names)}"
    return f"{wrong}\nThe parameters are {', '.join(names)}; each is given as -P name=value"


def _meant(option: str, names: Sequence[str]) -> str:
    """What an unknown option may be: a parameter misspelt, or a setting."""
    name = option.removeprefix("--").replace("-", "_")[:100]
    parameter, setting = nearest(name, names), nearest_name(name, setting_names())
    is_setting = setting is not None and name in (setting, setting.rpartition(".")[2])
    if "set" in names and setting is not None and (is_setting or not parameter):
        return f' (did you mean the setting {setting}? -P set="{setting}=VALUE")'
    return parameter


def _fail(message: str) -> NoReturn:
    print_error(redacted(message))
    sys.exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Unwind, so that runs end KILLED and temporary files go.

    ``mlflow run`` answers Ctrl-C by terminating its child, which has had the Ctrl-C already: a
    second signal must not stop the unwinding. (SIG_IGN would make Python complain of a second one
    that has arrived already.)
    """
    for other in _INTERRUPTIONS:
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
    console.print(f"run: {run_address(run)}{hint}", soft_wrap=True)

"""What surrounds every command: an output that cannot fail, signals, errors in a sentence.

MLflow and torch, which take seconds to import, are imported by the step alone: ``--help`` and a
mistyped parameter answer at once.
"""

import errno
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

import typer

from carvision.config import nearest, nearest_name, setting_names
from carvision.errors import CarvisionError
from carvision.library_settings import set_up_libraries
from carvision.redaction import redacted
from carvision.reporting.console import print_error, set_up_logging
from carvision.reporting.streams import guard_streams
from carvision.store.mlflow_environment import set_mlflow_defaults
from carvision.store.unstarted_runs import unstarted_run_closed

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
    set_mlflow_defaults()
    set_up_libraries()
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
    if "mlflow" in sys.modules and (sentence := _about_the_store(error)) is not None:
        return sentence
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return f"the disk refused: {error}; make room or give write access, then run this again"
    return None


def _about_the_store(error: Exception) -> str | None:
    from carvision.store.errors import store_problem
    from carvision.store.server import SERVER_ERRORS, server_away, unreachable

    if isinstance(error, SERVER_ERRORS) and (reason := unreachable()) is not None:
        return str(server_away(reason))
    return store_problem(error)


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

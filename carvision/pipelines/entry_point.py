"""Run an entry point: set up the process, parse, and report errors in one sentence.

MLflow and torch take seconds to import, so only the step itself imports them: ``--help`` and a
mistyped parameter answer at once.
"""

import errno
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import typer

from carvision.errors import CarvisionError
from carvision.interruption import interruptions_handled
from carvision.library_settings import set_up_libraries
from carvision.pipelines.command_line import usage_message, with_one_set
from carvision.redaction import redacted
from carvision.reporting.console import print_error, set_up_logging
from carvision.reporting.streams import guard_streams
from carvision.store.mlflow_environment import set_mlflow_defaults
from carvision.store.unstarted_runs import unstarted_run_closed

#: click's class; typer exports only its subclasses, and may bundle a click of its own.
_UsageError: type[Exception] = typer.BadParameter.mro()[1]

#: Errors that the user can repair without a traceback.
_DISK_ERRORS: Final = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
)

_INTERRUPTED: Final = 130


def run_entry_point(command: Callable[..., None], settings: Sequence[str] = ()) -> NoReturn:
    """Run ``command`` with this process's command line, then exit.

    An error that is meant for the user is printed without a traceback, and exits with status 1;
    Ctrl-C exits with 130. ``settings`` are those that the command takes in ``set=``.
    """
    guard_streams()
    set_up_logging()
    set_mlflow_defaults()
    set_up_libraries()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    status = 0
    try:
        with interruptions_handled(), unstarted_run_closed():
            # Not standalone: typer then raises errors, instead of printing them, and returns the
            # exit status.
            status = app(with_one_set(sys.argv[1:]), standalone_mode=False) or 0
            if status == _INTERRUPTED:
                raise KeyboardInterrupt
    except _UsageError as error:
        _fail(usage_message(error, settings))
    except (KeyboardInterrupt, typer.Abort):  # typer's versions differ in which they raise
        status = _INTERRUPTED
    except CarvisionError as error:
        _fail(str(error))
    except Exception as error:
        if (sentence := _sentence_about(error)) is None:
            raise
        _fail(sentence)
    sys.exit(status)


def _sentence_about(error: Exception) -> str | None:
    """What the user can do about a failing server, store or disk; None for a defect."""
    if "mlflow" in sys.modules and (sentence := _about_the_store(error)) is not None:
        return sentence
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return f"the disk refused: {error}; make room or give write access, then run this again"
    return None


def _about_the_store(error: Exception) -> str | None:
    # Later than this module, since they import MLflow.
    from carvision.store.errors import store_problem
    from carvision.store.server import SERVER_ERRORS, server_away, unreachable

    if isinstance(error, SERVER_ERRORS) and (reason := unreachable()) is not None:
        return str(server_away(reason))
    return store_problem(error)


def _fail(message: str) -> NoReturn:
    print_error(redacted(message))
    sys.exit(1)

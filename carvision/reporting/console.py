"""The console: log lines, errors and progress."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from carvision.interruption import raise_if_interrupted
from carvision.reporting.log_filters import hide_secrets
from carvision.reporting.progress_lines import ProgressLines
from carvision.reporting.streams import output_failed
from carvision.reporting.terminal import console, plain

__all__ = ["announce", "console", "print_error", "progress", "progress_bar", "set_up_logging"]


log = logging.getLogger(__name__)


class _LineHandler(logging.Handler):
    """Prints each record as one line, however long, so that it can be searched and copied."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level = (f"{record.levelname:<8}", f"logging.level.{record.levelname.lower()}")
            console.print(Text.assemble(level, " ", plain(self.format(record))), soft_wrap=True)
        except Exception:  # as every handler of the standard library
            self.handleError(record)


def set_up_logging() -> None:
    """Print carvision's own log lines from INFO on, and those of libraries from WARNING on."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_LineHandler()])
    logging.getLogger("carvision").setLevel(logging.INFO)
    # MLflow logs a traceback of each error that it raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    hide_secrets()


def print_error(message: str) -> None:
    """Print the error that ends a command; on standard error, too, if the output was lost."""
    console.print(Text.assemble(("error:", "bold red"), " ", plain(message)), soft_wrap=True)
    if output_failed():
        sys.stderr.write(f"error: {message}\n")


def announce(message: str) -> None:
    """Log a line about what happens, and why."""
    log.info("%s", message)


def text_column(template: str) -> TextColumn:
    """A column of a progress bar in which names are no markup."""
    return TextColumn(template, markup=False)


def progress_bar(*extra: TextColumn) -> Progress:
    """A progress bar with the items done and the time left; it fits into 80 columns."""
    return Progress(
        text_column("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        *extra,
        TimeRemainingColumn(compact=True),
        text_column("left"),
        console=console,
    )


@contextmanager
def progress(description: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
    """Show the progress over ``total`` items, ``done`` of which are done already.

    It is a bar on a terminal, and a line from time to time in a file. The function that is yielded
    takes the number of items just done and, optionally, a new description; after Ctrl-C it raises
    KeyboardInterrupt.
    """
    shown = _bar if console.is_interactive else _lines
    with shown(description, total, done) as show:

        def advance(done: int, description: str | None = None) -> None:
            raise_if_interrupted()
            show(done, description)

        yield advance


@contextmanager
def _bar(description: str, total: int, before: int) -> Iterator[Callable[..., None]]:
    with progress_bar() as bar:
        task = bar.add_task(description, total=total, completed=before)
        # Otherwise a bar with nothing left to do is not taken for finished.
        bar.update(task, completed=before)

        def advance(done: int, description: str | None = None) -> None:
            bar.update(task, advance=done, description=description)

        yield advance


@contextmanager
def _lines(description: str, total: int, before: int) -> Iterator[Callable[..., None]]:
    lines, count = ProgressLines(), before
    lines.advanced(description, before, total)
    now = description

    def advance(done: int, description: str | None = None) -> None:
        nonlocal count, now
        count, now = count + done, description or now
        lines.advanced(now, count, total)

    yield advance
    lines.ended(now, count)

"""The terminal: one console for tables, progress and log lines."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console()


def set_up_logging() -> None:
    """carvision's own lines from INFO, everything else from WARNING."""
    handler = RichHandler(console=console, show_path=False, show_time=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("carvision").setLevel(logging.INFO)
    # MLflow tells at every start that it creates its tables.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def progress_bar(*extra: TextColumn) -> Progress:
    """A bar with what is done, the time it took and the time that is left."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *extra,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over ``total`` items; call what it gives with the number of items just done."""
    with progress_bar() as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.advance(task, done)

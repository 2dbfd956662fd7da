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
    TextColumn,
    TimeRemainingColumn,
)

from carvision.reporting.log_filters import hide_secrets

console = Console()


def set_up_logging() -> None:
    """carvision's own lines from INFO, everything else from WARNING."""
    handler = RichHandler(console=console, show_path=False, show_time=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("carvision").setLevel(logging.INFO)
    # MLflow tells at every start that it creates its tables.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    hide_secrets()


def progress_bar(*extra: TextColumn) -> Progress:
    """A bar with what is done and the time that is left; it fits into 80 columns."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        *extra,
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=console,
    )


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """A bar over ``total`` items.

    What it gives is called with the number of items just done, and may be given a new description.
    """
    with progress_bar() as bar:
        task = bar.add_task(description, total=total)

        def advance(done: int, description: str | None = None) -> None:
            bar.update(task, advance=done, description=description)

        yield advance

"""A command's own run; what earlier commands left behind is put in order before it."""

from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.entities import Run

from carvision.leftovers import clear_leftovers
from carvision.pipelines.entry_point import announce, close_killed
from carvision.pipelines.tune.registration import finish_delivery
from carvision.store.runs import tracked_run
from carvision.store.server import require_server
from carvision.tracking.outbox.steps import deliver_waiting
from carvision.workspace import WORK


@contextmanager
def command_run(stage: str, name: str) -> Iterator[Run]:
    """The run that a command works in; a child of the open one where another command calls it.

    Raises:
        TrackingError: the tracking server cannot be reached.
    """
    if mlflow.active_run() is None:
        require_server()
        _put_in_order()
    with tracked_run(stage, name) as run:
        yield run


def _put_in_order() -> None:
    """End the runs of killed processes, remove their temporary files, deliver what waits."""
    close_killed()
    for path in clear_leftovers(WORK):
        announce(f"{path} is removed: the process that wrote it was killed")
    deliver_waiting(finish_delivery)

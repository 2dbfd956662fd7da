"""The run of a command, before which leftovers of earlier commands are put in order."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.entities import Run

from carvision.pipelines.tune.register_ensemble import finish_delivery
from carvision.reporting.console import announce, console
from carvision.store.address import is_local_store, run_address
from carvision.store.killed_runs import close_killed_runs
from carvision.store.open_runs import tracked_run
from carvision.store.server import require_server
from carvision.temporary_files import clear_leftovers
from carvision.tracking.outbox.steps import deliver_waiting
from carvision.workspace import WORK


@contextmanager
def command_run(stage: str, name: str) -> Iterator[Run]:
    """Open the run of a command; within the run of another command, as a child of that.

    Raises:
        TrackingError: the tracking server cannot be reached.
    """
    if mlflow.active_run() is None:
        require_server()
        _put_in_order()
    with tracked_run(stage, name) as run:
        yield run


def show_address(run: Run) -> None:
    """Print where the UI shows a run."""
    hint = "  (start it with: make ui)" if is_local_store() else ""
    console.print(f"run: {run_address(run)}{hint}", soft_wrap=True)


def command_to_go_on() -> str:
    """The command line of this process, with ``resume=auto`` for ``resume=never``."""
    arguments = ["auto" if word == "never" else word for word in sys.orig_argv[1:]]
    return shlex.join(["python", *arguments])


def _put_in_order() -> None:
    """End the runs of killed processes, remove their files, and deliver results that wait."""
    for killed in close_killed_runs():
        announce(f"run {killed.info.run_name} was killed before; it is marked so")
    for path in clear_leftovers(WORK):
        announce(f"{path} is removed: the process that wrote it was killed")
    deliver_waiting(finish_delivery)

"""The run that a step works in: how it is opened, and how it ends."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext

import mlflow
from mlflow.entities import Run, RunTag

from carvision.errors import PrunedError
from carvision.store.client import client, open_store
from carvision.store.process import this_process
from carvision.store.runs import exists
from carvision.store.server import (
    SERVER_ERRORS,
    TRACKING_ERRORS,
    no_patience,
    require_server,
    shown_uri,
    unreachable,
)
from carvision.store.tags import PARENT, PROCESS, STAGE

log = logging.getLogger(__name__)


@contextmanager
def tracked_run(
    stage: str, name: str, tags: Mapping[str, str] | None = None, run_id: str = ""
) -> Iterator[Run]:
    """Open a run of ``stage``: the run that ``mlflow run`` opened, or a new one.

    Within an open run, it is a child of that; ``tags`` may name another parent. ``run_id`` names a
    stopped run to be opened again, unless this store has it no more. At the end of the block the
    run is FINISHED, after an error FAILED, after Ctrl-C or pruning KILLED, unless it was ended
    before.
    """
    open_store()
    parent = mlflow.active_run()
    own = {STAGE: stage, PROCESS: this_process()}
    if parent is not None:
        own[PARENT] = parent.info.run_id
    every = {**own, **(tags or {})}
    again = run_id if run_id and exists(run_id) else None
    if again is not None:
        # Before it is RUNNING: a running run never names a process that is gone.
        client().log_batch(again, tags=[RunTag(key, value) for key, value in every.items()])
    run = mlflow.start_run(again, run_name=name, nested=parent is not None, tags=every)
    try:
        if parent is not None:
            # MLflow makes a new run a child of the open one whatever its tags say.
            mlflow.set_tag(PARENT, every[PARENT])
        yield run
    except (KeyboardInterrupt, PrunedError):
        end_run(run, "KILLED")
        raise
    except BaseException:
        end_run(run, "FAILED")
        raise
    end_run(run, "FINISHED")


@contextmanager
def tracked_run_if_reachable(
    stage: str, name: str, tags: Mapping[str, str] | None = None, run_id: str = ""
) -> Iterator[Run | None]:
    """Open a run as :func:`tracked_run` does; yield None where the server cannot be reached."""
    with ExitStack() as stack:
        run = None
        try:
            require_server()
            run = stack.enter_context(tracked_run(stage, name, tags, run_id))
        except TRACKING_ERRORS as error:
            log.warning("%s goes on without an MLflow run: %s", name, error)
        yield run


def end_run(run: Run, status: str) -> None:
    """End ``run`` if it is the open one; a server that cannot be told of it is only logged."""
    active = mlflow.active_run()
    if active is None or active.info.run_id != run.info.run_id:
        return
    reason = unreachable()
    try:
        with no_patience() if reason else nullcontext():
            mlflow.end_run(status)
    except SERVER_ERRORS as error:
        log.warning("%s shows run %s as RUNNING: %s", shown_uri(), run.info.run_id, reason or error)

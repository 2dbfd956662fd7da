"""Runs that MLflow shows as RUNNING, and whose process is gone."""

import time
from collections.abc import Container
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.utils.mlflow_tags import MLFLOW_PROJECT_ENTRY_POINT, MLFLOW_SOURCE_NAME

from carvision.store.begun_runs import begun_and_gone
from carvision.store.client import client, open_store
from carvision.store.process import is_alive, is_gone
from carvision.store.runs import exists
from carvision.store.server import shown_uri
from carvision.store.tags import PARENT, PROCESS

#: Seconds from the opening of a run by ``mlflow run`` to its step: an environment may be built.
_LONGEST_START = 86400.0


def close_killed_runs() -> list[Run]:
    """End the runs that killed processes of this machine left open; return these runs.

    They include runs that ``mlflow run`` opened for a step that was killed before it could tag its
    run with its process, or that never started.
    """
    open_store()
    running = mlflow.search_runs(
        filter_string="attributes.status = 'RUNNING'",
        search_all_experiments=True,
        output_format="list",
    )
    begun = begun_and_gone(shown_uri())
    killed = [run for run in running if _was_killed(run, begun)]
    for run in killed:
        client().set_terminated(run.info.run_id, "KILLED")
    for note in begun.values():
        note.unlink(missing_ok=True)
    return killed


def _was_killed(run: Run, begun: Container[str]) -> bool:
    tags = run.data.tags
    if PROCESS in tags:
        return is_gone(tags[PROCESS])
    if run.info.run_id in begun:
        return True
    # A kill between the opening of the run and the start of the step leaves no other trace.
    project = tags.get(MLFLOW_SOURCE_NAME, "").removeprefix("file://").partition("#")[0]
    ours = bool(project) and Path(project.removesuffix("/.git")) == Path.cwd()
    age = time.time() - run.info.start_time / 1000
    return ours and MLFLOW_PROJECT_ENTRY_POINT in tags and age > _LONGEST_START


def close_abandoned(run_id: str) -> list[Run]:
    """End an open run that the caller has taken over, and its open parents; return these runs.

    The caller holds the lock that the run's process held. So a process of which nothing is known
    (it ran before a reboot, or in another container) is gone. A process that is alive may work at
    other children of the same parent. Runs without a process are not carvision's and stay open.
    """
    closed = []
    while run_id and exists(run_id):
        run = client().get_run(run_id)
        process = run.data.tags.get(PROCESS, "")
        if run.info.status == "RUNNING" and process and not is_alive(process):
            client().set_terminated(run_id, "KILLED")
            closed.append(run)
        run_id = run.data.tags.get(PARENT, "")
    return closed

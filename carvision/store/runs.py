"""Runs in MLflow: how one is opened, tagged, found again, and addressed in the UI."""

import logging
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import mlflow
import yaml
from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PROJECT_ENTRY_POINT, MLFLOW_SOURCE_NAME

from carvision.config.layers import flat
from carvision.errors import GoneError, PrunedError
from carvision.redaction import redacted
from carvision.store.artifacts import linked, local_folder
from carvision.store.begun_runs import begun_and_gone
from carvision.store.local_store import open_store
from carvision.store.process import is_alive, is_gone, this_process
from carvision.store.server import (
    SERVER_ERRORS,
    TRACKING_ERRORS,
    no_patience,
    patiently,
    require_server,
    shown_uri,
    unreachable,
)

log = logging.getLogger(__name__)

#: Tags that the steps find each other's runs by.
STAGE: Final = "carvision.stage"
MODEL: Final = "carvision.model"
FOLD: Final = "carvision.fold"
SET: Final = "carvision.set"
DATA: Final = "carvision.data"
PARENT: Final = "mlflow.parentRunId"
PROCESS: Final = "carvision.process"

#: MLflow refuses longer parameter values.
_LONGEST_PARAM = 6000
#: Seconds between the opening of a run and its step, with an environment to be built in between.
_LONGEST_START = 86400.0


@contextmanager
def tracked_run(
    stage: str, name: str, tags: Mapping[str, str] | None = None, run_id: str = ""
) -> Iterator[Run]:
    """A run of ``stage``: the one ``mlflow run`` opened, a new one, or a child of the open one.

    ``run_id`` opens one again that was stopped, unless it was deleted or is of another store; it
    becomes a child of the run that is open now. It ends FINISHED, FAILED after an error, and KILLED
    after Ctrl-C or when it was pruned, unless it was ended before.
    ``tags`` may name another parent.
    """
    open_store()
    parent = mlflow.active_run()
    own = {STAGE: stage, PROCESS: this_process()}
    if parent is not None:
        own[PARENT] = parent.info.run_id
    every = {**own, **(tags or {})}
    again = run_id if run_id and exists(run_id) else None
    if again is not None:
        # Before it is RUNNING: at no moment does a living run name a process that is gone.
        client().log_batch(again, tags=[RunTag(key, value) for key, value in every.items()])
    run = mlflow.start_run(again, run_name=name, nested=parent is not None, tags=every)
    try:
        if parent is not None:
            # MLflow makes a new run a child of the open one, whatever its tags say.
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
    """:func:`tracked_run` for what goes on without one: None while the server is away."""
    with ExitStack() as stack:
        run = None
        try:
            require_server()
            run = stack.enter_context(tracked_run(stage, name, tags, run_id))
        except TRACKING_ERRORS as error:
            log.warning("%s goes on without an MLflow run: %s", name, error)
        yield run


def end_run(run: Run, status: str) -> None:
    """End the open run ``run``, if it is open still; what its work gave does not hang on that."""
    active = mlflow.active_run()
    if active is None or active.info.run_id != run.info.run_id:
        return
    reason = unreachable()
    try:
        with no_patience() if reason else nullcontext():
            mlflow.end_run(status)
    except SERVER_ERRORS as error:
        log.warning("%s shows run %s as RUNNING: %s", shown_uri(), run.info.run_id, reason or error)


def close_killed_runs() -> list[Run]:
    """End the runs whose process, of this machine since it was booted, is gone without doing so.

    Those as well that ``mlflow run`` opened, and whose step was killed before it could name its
    process, or never started.
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
    # Killed between the opening of the run and the start of the step, of which nothing tells.
    project = tags.get(MLFLOW_SOURCE_NAME, "").removeprefix("file://").partition("#")[0]
    ours = bool(project) and Path(project.removesuffix("/.git")) == Path.cwd()
    age = time.time() - run.info.start_time / 1000
    return ours and MLFLOW_PROJECT_ENTRY_POINT in tags and age > _LONGEST_START


def close_abandoned(run_id: str) -> list[Run]:
    """End a run, and those that it is a child of, which nobody works at any more.

    For a caller that holds what its process would hold: then a process of which nothing is known
    (it ran before a reboot, in another container) is gone. One that lives may work at other
    children of the same parent, and one that carvision did not name is not ours to judge.
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


def exists(run_id: str) -> bool:
    """Whether this store has such a run, not deleted."""
    try:
        return client().get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        # A server that cannot be reached is no answer.
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return False


def find_runs(stage: str, tags: Mapping[str, str]) -> list[Run]:
    """Finished runs with these tags in all experiments, the newest first."""
    open_store()
    conditions = [f"tags.`{key}` = '{value}'" for key, value in {STAGE: stage, **tags}.items()]
    return mlflow.search_runs(
        filter_string=" and ".join([*conditions, "attributes.status = 'FINISHED'"]),
        order_by=["attributes.start_time DESC"],
        search_all_experiments=True,
        output_format="list",
    )


def log_settings(settings: Mapping[str, Any]) -> None:
    """The resolved configuration: as parameters to compare, and whole as ``config.yaml``.

    The parameters have a prefix: ``mlflow run`` has logged its own under the bare names.
    """
    mlflow.log_params({f"config.{key}": as_parameter(value) for key, value in flat(settings)})
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    mlflow.log_text(redacted(text), "config.yaml")


def as_parameter(value: object) -> str:
    """A setting as a run's parameter holds it."""
    return redacted(str(value))[:_LONGEST_PARAM]


def fetch(run_id: str, path: str, into: Path) -> Path:
    """An artifact of a run below ``into``, downloaded, or linked to a local store's; its place.

    Raises:
        GoneError: the run, or the artifact, was removed.
    """

    def fetched() -> Path:
        try:
            return _fetched(run_id, path, into)
        except (MlflowException, FileNotFoundError) as error:
            # Asked at once: what is gone does not come back by trying again.
            if unreachable() is not None or has_artifact(run_id, path):
                raise
            raise GoneError(
                f"run {run_id} has no {path} any more: the run or its files were removed"
            ) from error

    return patiently(f"fetching {path}", fetched)


def _fetched(run_id: str, path: str, into: Path) -> Path:
    folder = local_folder(client().get_run(run_id).info.artifact_uri)
    if folder is not None:
        return linked(folder, path, into)
    found = mlflow.artifacts.download_artifacts(
        run_id=run_id, artifact_path=path, dst_path=str(into)
    )
    return Path(found)


def has_artifact(run_id: str, path: str) -> bool:
    """Whether a run is in the store, perhaps deleted, and has a file or folder ``path``."""
    folder = path.rpartition("/")[0]
    try:
        return path in {item.path for item in client().list_artifacts(run_id, folder or None)}
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            raise
        return False


def client() -> MlflowClient:
    """A client of the store that is in use.

    Raises:
        TrackingError: it is a local one that cannot be used.
    """
    open_store()
    return MlflowClient()


def run_address(run: Run) -> str:
    """Where the UI shows a run; for a local store, once ``mlflow ui`` runs."""
    uri = shown_uri()
    base = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{base}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def is_local_store() -> bool:
    """Whether the UI has to be started to see anything."""
    return not mlflow.get_tracking_uri().startswith("http")

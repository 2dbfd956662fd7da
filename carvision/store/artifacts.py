"""Artifacts of runs, downloaded from a server or linked from a local store.

Weights and predictions are gigabytes. A hard link takes no room and no time, and stays when the
store's own file is removed.
"""

import os
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from carvision.errors import GoneError
from carvision.files import link_or_copy
from carvision.store.client import client
from carvision.store.server import is_missing, patiently, unreachable


def fetch(run_id: str, path: str, into: Path) -> Path:
    """Fetch an artifact of a run into the folder ``into``; return its path there.

    Raises:
        GoneError: the run or the artifact was removed.
    """

    def fetched() -> Path:
        try:
            return _fetched(run_id, path, into)
        except (MlflowException, FileNotFoundError) as error:
            # Checked here, inside of the retries: an artifact that is gone does not come back.
            if unreachable() is not None or has_artifact(run_id, path):
                raise
            raise GoneError(
                f"run {run_id} has no {path} any more: the run or its files were removed"
            ) from error

    return patiently(f"fetching {path}", fetched)


def has_artifact(run_id: str, path: str) -> bool:
    """Whether a run, which may be marked as deleted, has a file or folder ``path``."""
    folder = path.rpartition("/")[0]
    try:
        return path in {item.path for item in client().list_artifacts(run_id, folder or None)}
    except MlflowException as error:
        if not is_missing(error):
            raise
        return False


def local_folder(uri: str) -> Path | None:
    """The local folder of the artifacts at ``uri``; None where a server or a bucket has them."""
    if uri.startswith("models:/"):
        uri = get_artifact_repository(uri).repo.artifact_uri
    return Path(local_file_uri_to_path(uri)) if is_local_uri(uri) else None


def linked(folder: Path, path: str, into: Path) -> Path:
    """Link the file or folder ``path`` of ``folder`` into the folder ``into``; return the link.

    Raises:
        FileNotFoundError: ``folder`` has no such file.
    """
    source = folder / path
    target = into / Path(path).name
    if source.is_file():
        into.mkdir(parents=True, exist_ok=True)
        _link(source, target)
        return target
    if not source.is_dir():
        raise FileNotFoundError(f"No such artifact: {source}")
    target.mkdir(parents=True, exist_ok=True)
    for parent, folders, names in os.walk(source):
        below = target / Path(parent).relative_to(source)
        for name in folders:
            (below / name).mkdir(exist_ok=True)
        for name in names:
            _link(Path(parent, name), below / name)
    return target


def _fetched(run_id: str, path: str, into: Path) -> Path:
    folder = local_folder(client().get_run(run_id).info.artifact_uri)
    if folder is not None:
        return linked(folder, path, into)
    found = mlflow.artifacts.download_artifacts(
        run_id=run_id, artifact_path=path, dst_path=str(into)
    )
    return Path(found)


def _link(source: Path, target: Path) -> None:
    # It is there when the artifact was fetched before.
    target.unlink(missing_ok=True)
    link_or_copy(source, target)

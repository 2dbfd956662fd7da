"""Artifacts of runs and models: where they lie on a disk of this machine, they are not copied.

Weights and predictions are gigabytes. On a local store what is fetched, and what is logged as a
model, is a hard link to the file that is there: it takes no room, no time, and outlives it.
"""

import os
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from carvision.files import link_or_copy


def local_folder(uri: str) -> Path | None:
    """The folder that holds the artifacts of ``uri``; None where a server or a bucket does."""
    if uri.startswith("models:/"):
        uri = get_artifact_repository(uri).repo.artifact_uri
    return Path(local_file_uri_to_path(uri)) if is_local_uri(uri) else None


def linked(folder: Path, path: str, into: Path) -> Path:
    """The file or folder ``path`` below ``folder``, under its own name in ``into``.

    Raises:
        FileNotFoundError: it is not there.
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


def log_model_files(model_id: str, folder: Path) -> None:
    """Log all that lies in ``folder`` as the files of a logged model."""
    client = MlflowClient()
    target = local_folder(client.get_logged_model(model_id).artifact_location)
    if target is None:
        client.log_model_artifacts(model_id, str(folder))
    else:
        linked(folder, ".", target)


def _link(source: Path, target: Path) -> None:
    # What was fetched before is the same file.
    target.unlink(missing_ok=True)
    link_or_copy(source, target)

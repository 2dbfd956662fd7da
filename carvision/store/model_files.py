"""The files of registered versions: how they are named, logged and fetched."""

from pathlib import Path, PurePosixPath
from typing import Final

import mlflow

from carvision.store.artifacts import linked, local_folder
from carvision.store.client import client

#: Names of the artifacts that a model is logged with.
BUNDLE: Final = "bundle"
SPEC: Final = "spec"
SPEC_FILE: Final = "ensemble.json"
#: The folder that MLflow gives the artifacts of a pyfunc model.
_ARTIFACTS: Final = "artifacts"


def fetch_bundle(name: str, version: int, into: Path) -> Path:
    """Fetch the bundle of a backbone's version into the folder ``into``; return its path."""
    return _fetch(name, version, BUNDLE, into)


def has_bundle(name: str, version: int) -> bool:
    """Whether the bundle of a backbone's version is in the store."""
    uri = f"models:/{name}/{version}/artifacts"
    found = mlflow.artifacts.list_artifacts(artifact_uri=uri)
    return BUNDLE in {PurePosixPath(item.path).name for item in found}


def fetch_spec(name: str, version: int, into: Path) -> Path:
    """Fetch the specification of an ensemble's version into the folder ``into``."""
    return _fetch(name, version, SPEC_FILE, into)


def log_model_files(model_id: str, folder: Path) -> None:
    """Log all files of ``folder`` as those of a logged model."""
    target = local_folder(client().get_logged_model(model_id).artifact_location)
    if target is None:
        client().log_model_artifacts(model_id, str(folder))
    else:
        linked(folder, ".", target)


def _fetch(name: str, version: int, item: str, into: Path) -> Path:
    uri = f"models:/{name}/{version}"
    folder = local_folder(uri)
    if folder is not None:
        return linked(folder / _ARTIFACTS, item, into)
    uri = f"{uri}/{_ARTIFACTS}/{item}"
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))

"""Where a registered version keeps its artifacts, and whether a loaded model's are as logged."""

from pathlib import Path, PurePosixPath
from typing import Any, Final

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME

from carvision.contracts.sums import SUMS, damage, damage_below
from carvision.errors import WeightsError
from carvision.store.artifacts import linked, local_folder

#: Names of the artifacts that a model is logged with.
BUNDLE: Final = "bundle"
SPEC: Final = "spec"
SPEC_FILE: Final = "ensemble.json"
#: Where MLflow puts the artifacts that a pyfunc model is saved with.
_ARTIFACTS: Final = "artifacts"


def fetch_bundle(name: str, version: int, into: Path) -> Path:
    """Download a backbone's bundle."""
    return _fetch(name, version, BUNDLE, into)


def has_bundle(name: str, version: int) -> bool:
    """Whether a backbone's bundle is where its version says."""
    uri = f"models:/{name}/{version}/artifacts"
    found = mlflow.artifacts.list_artifacts(artifact_uri=uri)
    return BUNDLE in {PurePosixPath(item.path).name for item in found}


def fetch_spec(name: str, version: int, into: Path) -> Path:
    """Download an ensemble's specification."""
    return _fetch(name, version, SPEC_FILE, into)


def loaded_artifact(context: Any, name: str) -> Path:
    """An artifact of the model that MLflow loads, and whose files are those that were logged.

    Raises:
        WeightsError: a file is missing or another one.
    """
    path = Path(context.artifacts[name])
    model = _model_around(path)
    stored = None if model is None else (model.metadata or {}).get(SUMS)
    if model is not None and stored is not None:
        wrong = damage_below(path, stored) if path.is_dir() else damage({path.name: path}, stored)
        if wrong is not None:
            raise WeightsError(f"the model {model.model_id} is damaged: {wrong}")
    return path


def logged_at(artifact: Path) -> int | None:
    """When the model around an artifact was logged, in milliseconds since 1970; None if unknown."""
    model = _model_around(artifact)
    if model is None or model.model_id is None:
        return None
    try:
        return int(mlflow.MlflowClient().get_logged_model(model.model_id).creation_timestamp)
    # Another store than the one that it was logged in.
    except MlflowException:
        return None


def _model_around(artifact: Path) -> Model | None:
    """What MLflow keeps beside the artifacts of a model; None where these lie by themselves."""
    folder = artifact.parents[1]
    return Model.load(str(folder)) if (folder / MLMODEL_FILE_NAME).is_file() else None


def _fetch(name: str, version: int, item: str, into: Path) -> Path:
    uri = f"models:/{name}/{version}"
    folder = local_folder(uri)
    if folder is not None:
        return linked(folder / _ARTIFACTS, item, into)
    uri = f"{uri}/{_ARTIFACTS}/{item}"
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))

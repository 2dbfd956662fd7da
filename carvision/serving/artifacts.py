"""The artifacts of a loaded model, and whether they are those that were logged."""

from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME

from carvision.contracts.checksums import SUMS, damage, damage_below
from carvision.errors import WeightsError


def loaded_artifact(context: Any, name: str) -> Path:
    """Return an artifact of the model that MLflow loads, after comparing its files with the sums.

    Raises:
        WeightsError: a file is missing, or is not the one that was logged.
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
    """When the model of an artifact was logged, in milliseconds since 1970; None if unknown."""
    model = _model_around(artifact)
    if model is None or model.model_id is None:
        return None
    try:
        return int(mlflow.MlflowClient().get_logged_model(model.model_id).creation_timestamp)
    # Another store than the one that it was logged in.
    except MlflowException:
        return None


def _model_around(artifact: Path) -> Model | None:
    """The model that an artifact is a part of; None if it is not in a model's folder."""
    folder = artifact.parents[1]
    return Model.load(str(folder)) if (folder / MLMODEL_FILE_NAME).is_file() else None

"""Run by MLflow when a registered ensemble is loaded."""

import mlflow

from carvision.serving.models import EnsembleModel

mlflow.models.set_model(EnsembleModel())

"""Run by MLflow when a registered member is loaded."""

import mlflow

from carvision.serving.models import MemberModel

mlflow.models.set_model(MemberModel())

"""Tags by which the steps find each other's runs and registered versions."""

from typing import Final

STAGE: Final = "carvision.stage"
MODEL: Final = "carvision.model"
FOLD: Final = "carvision.fold"
SET: Final = "carvision.set"
#: The fingerprint of the manifest.
DATA: Final = "carvision.data"
#: The search that a run belongs to.
STUDY: Final = "carvision.study"
#: The process that works at a run.
PROCESS: Final = "carvision.process"
#: MLflow's own: the run that a run is a child of.
PARENT: Final = "mlflow.parentRunId"

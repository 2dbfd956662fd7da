"""MLflow's settings, made in the environment before it is imported."""

import os
from typing import Final

#: Retries of a call: pauses of 0, 2, 4, 8 and 16 seconds. MLflow's own take more than four minutes.
_RETRIES: Final = 5
_DEFAULTS: Final = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(_RETRIES),
    # It logs at every start that it creates its tables.
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def set_mlflow_defaults() -> None:
    """Keep MLflow quiet, and let its calls give up within half a minute.

    What the user has set in the environment stays.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)

"""The pyfunc models that are registered, for anyone who has the registry's address."""

from pathlib import Path
from typing import Final

from carvision.serving.model_io import default_model_config, input_example, model_signature

#: Models from code: MLflow copies the file, and runs it when the model is loaded.
MEMBER_CODE: Final = Path(__file__).parent / "member_code.py"
ENSEMBLE_CODE: Final = Path(__file__).parent / "ensemble_code.py"

__all__ = [
    "ENSEMBLE_CODE",
    "MEMBER_CODE",
    "default_model_config",
    "input_example",
    "model_signature",
]

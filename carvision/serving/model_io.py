"""Input and output of every registered model, the same for a backbone and an ensemble.

The input is a table with one column ``image``. Each row holds base64 text or raw bytes of an
encoded photo; MLflow turns a dictionary into one row with a list of them. The output has one column
a class, by name, with probabilities that sum to one.
"""

import base64
import binascii
import os
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType
from PIL import Image

from carvision.data.submission_listing import ALLOW_PATHS
from carvision.errors import DataError
from carvision.serving.limits import MAX_PHOTOS_KEY, MAX_PIXELS_KEY

#: Keys of the model's configuration. MLflow logs them as parameters of the run, beside the entry
#: point's own, so their names must differ from those.
ALLOW_PATHS_KEY: Final = "allow_paths"
SERVE_DEVICE: Final = "serve_device"
_COLUMN = "image"


def model_signature(class_names: tuple[str, ...]) -> ModelSignature:
    """Make the signature of a model of these classes."""
    # This is MLflow's only type for either text or bytes. The column is not required, since
    # MLflow's own error about a missing one repeats the request with its photos.
    inputs = Schema([ColSpec(AnyType(), _COLUMN, required=False)])
    return ModelSignature(inputs, Schema([ColSpec("double", name) for name in class_names]))


def default_model_config() -> dict[str, Any]:
    """The defaults of what ``load_model(..., model_config=...)`` may override."""
    return {
        ALLOW_PATHS_KEY: False,
        SERVE_DEVICE: "auto",
        MAX_PHOTOS_KEY: None,
        MAX_PIXELS_KEY: None,
    }


def input_example() -> pd.DataFrame:
    """A table of one grey photo, as base64 text."""
    buffer = BytesIO()
    Image.new("RGB", (32, 32), (128, 128, 128)).save(buffer, "JPEG")
    return pd.DataFrame({_COLUMN: [base64.b64encode(buffer.getvalue()).decode()]})


def paths_allowed(model_config: dict[str, Any] | None) -> bool:
    """Whether the environment or the model's configuration lets the input name files."""
    return os.environ.get(ALLOW_PATHS) == "1" or bool((model_config or {}).get(ALLOW_PATHS_KEY))


def encoded_photos(table: pd.DataFrame, *, allow_paths: bool) -> list[Path | bytes]:
    """Read the photos of a model's input.

    Raises:
        DataError: there is no column ``image``, or a value is neither text nor bytes of a photo.
    """
    if _COLUMN not in table.columns:
        # MLflow hands on no other column than those of the signature.
        got = f", got {list(table.columns)[:10]}" if len(table.columns) else ""
        raise DataError(
            f"expected a column {_COLUMN!r}{got}: a request looks like "
            f'{{"inputs": {{"{_COLUMN}": ["<base64 text>"]}}}}'
        )
    values = table[_COLUMN].tolist()
    if len(values) == 1 and isinstance(values[0], list | tuple | np.ndarray):
        values = list(values[0])
    return [_photo(value, row, allow_paths) for row, value in enumerate(values)]


def _photo(value: object, row: int, allow_paths: bool) -> Path | bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str):
        # JSON's null arrives as NaN.
        null = isinstance(value, float) and value != value
        kind = "float (null or NaN)" if null else type(value).__name__
        raise DataError(f"image {row}: expected base64 text or bytes, got {kind}")
    # First, since a short path may be valid base64.
    if allow_paths and _is_file(value):
        return Path(value)
    try:
        # The command line's base64 breaks lines.
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        pass
    hint = "" if allow_paths else f" (paths are off: the server's {ALLOW_PATHS}=1 allows them)"
    raise DataError(f"image {row}: neither base64 text nor bytes of an encoded photo{hint}")


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    # A photo's text is longer than a file name may be, and other text may be no name at all.
    except (OSError, ValueError):
        return False

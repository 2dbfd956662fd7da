"""Stored predictions of one backbone, in the same format for out-of-fold and for test photos.

A folder holds ``index.parquet`` (``image_id``, ``class_index``, ``fold``), ``views.json``,
``log_probabilities.npy`` (float32 ``[views, images, classes]``, memory-mapped on reading) and,
where labels are known, ``true_class.npy`` (``[views, images]``). A log loss needs the latter alone:
4.6 MB at the competition's size, where the whole is 260 MB.

Without labels, ``class_index`` is -1. ``fold`` is the fold that held a photo out, 0 for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.errors import PredictionsError
from carvision.files import read_json, replacing_folder, write_json
from carvision.metrics import true_class_column

_COLUMNS = ["image_id", "class_index", "fold"]


@dataclass(frozen=True)
class TrueClass:
    """The true class's log-probability, ``[views, images]``, and the index of the photos."""

    index: pd.DataFrame
    views: tuple[str, ...]
    log_probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class Predictions:
    """Log-probabilities ``[views, images, classes]`` and the index of the photos."""

    index: pd.DataFrame
    views: tuple[str, ...]
    log_probabilities: NDArray[np.float32]

    @property
    def labelled(self) -> bool:
        """Whether every photo's class is known."""
        return bool((self.index["class_index"] >= 0).all())

    def true_class(self) -> TrueClass:
        """Look up each photo's true class.

        Raises:
            PredictionsError: the photos have no labels.
        """
        if not self.labelled:
            raise PredictionsError("these photos have no labels: there is no true class to look up")
        targets = self.index["class_index"].to_numpy()
        column = true_class_column(self.log_probabilities, targets).astype(np.float32)
        return TrueClass(self.index, self.views, column)


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write the folder completely or not at all.

    Raises:
        PredictionsError: the shapes disagree, an ID is repeated, or a value is NaN.
    """
    _check(predictions)
    with replacing_folder(folder) as temporary:
        predictions.index[_COLUMNS].to_parquet(temporary / "index.parquet", index=False)
        write_json(temporary / "views.json", list(predictions.views))
        values = np.asarray(predictions.log_probabilities, dtype=np.float32)
        np.save(temporary / "log_probabilities.npy", values)
        if predictions.labelled:
            np.save(temporary / "true_class.npy", predictions.true_class().log_probabilities)


def read_predictions(folder: Path) -> Predictions:
    """Read a folder; the log-probabilities are memory-mapped.

    Raises:
        PredictionsError: a file is missing or does not fit the others.
    """
    index, views, values = _read(folder, "log_probabilities.npy")
    _check_shape(values.shape[:2], index, views, ndim=(values.ndim, 3))
    return Predictions(index, views, values)


def read_true_class(folder: Path) -> TrueClass:
    """Read the true class's log-probabilities alone.

    Raises:
        PredictionsError: a file is missing or does not fit the others.
    """
    index, views, values = _read(folder, "true_class.npy")
    _check_shape(values.shape, index, views, ndim=(values.ndim, 2))
    return TrueClass(index, views, values)


def concatenated(fold_predictions: Sequence[TrueClass]) -> TrueClass:
    """Concatenate the photos of several folds.

    Raises:
        PredictionsError: there is no fold, or the folds have different views.
    """
    views = [fold.views for fold in fold_predictions]
    if len(set(views)) != 1:
        raise PredictionsError(f"predictions of different views: {views}")
    index = pd.concat([fold.index for fold in fold_predictions], ignore_index=True)
    values = np.concatenate([fold.log_probabilities for fold in fold_predictions], axis=1)
    return TrueClass(index, views[0], values)


def _read(folder: Path, values: str) -> tuple[pd.DataFrame, tuple[str, ...], NDArray[np.float32]]:
    try:
        index = pd.read_parquet(folder / "index.parquet")
        if not set(_COLUMNS) <= set(index.columns):
            raise ValueError(f"index.parquet lacks one of the columns {_COLUMNS}")
        views = read_json(folder / "views.json")
        if not isinstance(views, list) or not all(isinstance(view, str) for view in views):
            raise ValueError("views.json is no list of views")
        return index, tuple(views), np.load(folder / values, mmap_mode="r")
    except (OSError, ValueError, EOFError, RecursionError) as error:
        raise PredictionsError(f"{folder}: not a complete predictions folder: {error}") from error


def _check(predictions: Predictions) -> None:
    values = predictions.log_probabilities
    _check_shape(values.shape[:2], predictions.index, predictions.views, ndim=(values.ndim, 3))
    ids = pd.Index(predictions.index["image_id"])
    _refuse_repeated(ids)
    if np.isnan(values).any():
        _, images, _ = np.nonzero(np.isnan(values))
        raise PredictionsError(f"the prediction of {ids[images[0]]!r} is NaN")


def _check_shape(
    shape: tuple[int, ...], index: pd.DataFrame, views: Sequence[str], ndim: tuple[int, int]
) -> None:
    expected = (len(views), len(index))
    if ndim[0] != ndim[1] or shape != expected:
        raise PredictionsError(
            f"expected {expected[0]} views of {expected[1]} photos, got an array of {list(shape)}"
        )


def _refuse_repeated(ids: pd.Index) -> None:
    if ids.has_duplicates:
        raise PredictionsError(f"the predictions hold {ids[ids.duplicated()][0]!r} more than once")

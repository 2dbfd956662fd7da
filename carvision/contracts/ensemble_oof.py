"""The out-of-fold photos of a registered ensemble, from which a test score is forecast.

``oof.parquet`` holds a row a photo, ``forecast_inputs.json`` the values of the set as a whole. Both
are artifacts at the root of the run that registered the ensemble's version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.errors import PredictionsError
from carvision.files import read_json, replacing, write_json
from carvision.metrics import CLIP, entropy

OOF_FILE: Final = "oof.parquet"
FORECAST_FILE: Final = "forecast_inputs.json"
_OF_SUBMITTED = "of_submitted"
_INDEX = ["image_id", "group", "fold", "class_index"]
_NUMBERS = ["confidence", "entropy", "log_loss"]
_COLUMNS = [*_INDEX, "predicted", *_NUMBERS]


@dataclass(frozen=True)
class EnsembleOof:
    """An ensemble's predictions of the photos that its members were not trained on.

    ``photos`` has a row a photo: ``image_id``, ``group``, ``fold`` and ``class_index`` (the truth).
    Its ``log_loss`` in nats and its ``predicted`` class are nested: by weights that were searched
    and fitted without the photo's fold. Its ``confidence`` (the largest probability) and its
    ``entropy`` in nats are of the ensemble that is submitted, with its own weights and
    temperatures, so that they can be compared with those of test photos.

    ``selection_optimism`` is by how many nats the choice of each fold's best epoch on the scored
    fold lowers the log loss; ``folds`` are each member's, by its preset. ``of_submitted`` is False
    for files of earlier versions: there confidence and entropy are nested, too, and cannot be
    compared with a test's.
    """

    photos: pd.DataFrame
    selection_optimism: float
    folds: Mapping[str, tuple[int, ...]]
    of_submitted: bool = True

    @classmethod
    def of(
        cls,
        index: pd.DataFrame,
        log_probabilities: NDArray[np.floating],
        log_loss: NDArray[np.floating],
        selection_optimism: float,
        folds: Mapping[str, tuple[int, ...]],
        predicted: NDArray[np.integer],
    ) -> "EnsembleOof":
        """Combine the submitted mixture ``[images, classes]`` and the nested losses ``[images]``.

        ``index`` holds ``image_id``, ``group``, ``fold`` and ``class_index`` in the same order.
        ``predicted`` are the nested classes ``[images]``.

        Raises:
            PredictionsError: the lengths differ.
        """
        if not len(index) == len(log_probabilities) == len(log_loss) == len(predicted):
            raise PredictionsError(
                f"{len(index)} photos, {len(log_probabilities)} predictions and {len(log_loss)} "
                "losses: expected as many of each"
            )
        photos = index[_INDEX].reset_index(drop=True)
        photos["predicted"] = predicted
        photos["confidence"] = np.exp(log_probabilities.max(axis=1).astype(np.float64))
        photos["entropy"] = entropy(log_probabilities)
        # The competition clips a probability of zero, so its loss is finite.
        photos["log_loss"] = np.minimum(log_loss.astype(np.float64), -np.log(CLIP))
        return cls(photos, float(selection_optimism), dict(folds))


def write_ensemble_oof(folder: Path, oof: EnsembleOof) -> None:
    """Write both files into ``folder``.

    Raises:
        PredictionsError: a column is missing, an id is repeated, or a value is out of its range.
    """
    _check(oof)
    with replacing(folder / OOF_FILE) as temporary:
        oof.photos[_COLUMNS].to_parquet(temporary, index=False)
    folds = {member: list(own) for member, own in oof.folds.items()}
    values = {
        "selection_optimism": oof.selection_optimism,
        "folds": folds,
        _OF_SUBMITTED: oof.of_submitted,
    }
    write_json(folder / FORECAST_FILE, values)


def read_ensemble_oof(folder: Path) -> EnsembleOof:
    """The inverse of :func:`write_ensemble_oof`.

    Raises:
        PredictionsError: a file is missing, damaged, or holds values out of their range.
    """
    try:
        photos = pd.read_parquet(folder / OOF_FILE)
        values = read_json(folder / FORECAST_FILE)
        folds = {member: tuple(own) for member, own in values["folds"].items()}
        of_submitted = values.get(_OF_SUBMITTED, False)
        if not isinstance(of_submitted, bool):
            raise ValueError(f"{_OF_SUBMITTED} is {of_submitted!r}, not true or false")
        oof = EnsembleOof(photos, float(values["selection_optimism"]), folds, of_submitted)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise PredictionsError(
            f"{folder}: not the out-of-fold photos of an ensemble: {error}"
        ) from error
    _check(oof)
    return oof


def _check(oof: EnsembleOof) -> None:
    photos = oof.photos
    missing = [column for column in _COLUMNS if column not in photos.columns]
    if missing:
        raise PredictionsError(f"the ensemble's out-of-fold photos lack the columns {missing}")
    if photos.empty:
        raise PredictionsError("the ensemble has no out-of-fold photo")
    repeated = photos["image_id"][photos["image_id"].duplicated()]
    if len(repeated):
        raise PredictionsError(f"the photo {repeated.iloc[0]!r} stands twice in {OOF_FILE}")
    for column in _NUMBERS:
        values = photos[column].to_numpy(dtype=np.float64)
        # Rounding may give a certain prediction an entropy or loss slightly below zero.
        upper = 1 + 1e-6 if column == "confidence" else np.inf
        wrong = ~(np.isfinite(values) & (values > -1e-6) & (values <= upper))
        if wrong.any():
            first = int(wrong.argmax())
            raise PredictionsError(
                f"{column} of {photos['image_id'].iloc[first]!r} is {values[first]}, out of range"
            )
    if not np.isfinite(oof.selection_optimism):
        raise PredictionsError(f"selection_optimism is {oof.selection_optimism}, not a number")

"""The result of training one fold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carvision.contracts import Predictions


@dataclass(frozen=True)
class FoldResult:
    """The best epoch of a fold: its metrics, its weights, its out-of-fold predictions.

    ``averaged`` says whether the weights are the moving average's. ``batch_size`` is the number
    that was trained with, also where the setting is ``auto``. ``epochs_true_class`` is float32
    ``[epochs, images]``: the log-probability of the true class in the original view after each
    epoch, by the better network of the epoch, with the images of ``predictions``. ``measured``
    holds metrics that depend on the machine, such as the seconds of 1,000 (image, view) passes.
    """

    fold: int
    best_epoch: int
    averaged: bool
    batch_size: int
    metrics: dict[str, float]
    weights: Path
    predictions: Predictions
    epochs_true_class: NDArray[np.float32]
    measured: dict[str, float]

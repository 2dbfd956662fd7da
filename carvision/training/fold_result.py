"""What a fold's training gives."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carvision.contracts import Predictions


@dataclass(frozen=True)
class FoldResult:
    """The best epoch of a fold: its metrics, its weights, its out-of-fold predictions.

    ``averaged`` says whether the weights are the moving average's; ``batch_size`` is what
    ``train.batch_size`` came to. ``epochs_true_class`` is float32 ``[epochs, images]``: at each
    epoch's end the log-probability of the true class in the original view, of the network that
    the epoch was scored by, images as in ``predictions``. ``measured`` holds, by the metric's name,
    what depends on the machine: the seconds that 1,000 (image, view) passes took.
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

"""What a fold's training gives."""

from dataclasses import dataclass
from pathlib import Path

from carvision.contracts import Predictions


@dataclass(frozen=True)
class FoldResult:
    """The best epoch of a fold: its metrics, its weights, its out-of-fold predictions.

    ``averaged`` says whether the weights are the moving average's; ``batch_size`` is what
    ``train.batch_size`` came to.
    """

    fold: int
    best_epoch: int
    averaged: bool
    batch_size: int
    metrics: dict[str, float]
    weights: Path
    predictions: Predictions

"""Training of one backbone on one fold."""

from carvision.training.fold import FoldResult, train_fold
from carvision.training.photos import training_photos

__all__ = ["FoldResult", "train_fold", "training_photos"]

"""Training of one backbone on one fold."""

from carvision.training.fold import FoldResult, train_fold

__all__ = ["FoldResult", "train_fold"]

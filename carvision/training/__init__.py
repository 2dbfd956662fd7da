"""Training of one backbone on one fold."""

from carvision.training.checkpoint import CheckpointWriter, newest_checkpoint
from carvision.training.fold import train_fold
from carvision.training.fold_result import FoldResult
from carvision.training.learner import Learner
from carvision.training.photos import training_photos

__all__ = [
    "CheckpointWriter",
    "FoldResult",
    "Learner",
    "newest_checkpoint",
    "train_fold",
    "training_photos",
]

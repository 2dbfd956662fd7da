"""Training of one backbone on one fold."""

from carvision.training.checkpoint import CheckpointFolder
from carvision.training.fold import FoldResult, train_fold
from carvision.training.learner import Learner
from carvision.training.photos import training_photos

__all__ = ["CheckpointFolder", "FoldResult", "Learner", "train_fold", "training_photos"]

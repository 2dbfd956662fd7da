"""Training of one backbone on one fold, and the search over its hyperparameters.

``fold`` trains a ``job``: ``builder`` builds a ``trainer``, in the state of its last checkpoint.
Data: ``photos``, ``batches``, ``validation``. An optimiser step: ``learner``, with ``optimizer``,
``learning_rate``, ``mixup``, ``micro_batches`` and ``batch_norm``; ``auto_batch_size`` finds the
largest that fits. State: ``train_state``, ``early_stopping``, ``best_checkpoint``, ``checkpoint``,
``identity``; ``interrupts`` and ``divergence`` end a training early.
"""

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

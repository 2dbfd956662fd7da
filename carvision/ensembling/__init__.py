"""Mixtures of members' out-of-fold predictions, and the study that weighs them."""

from carvision.ensembling.mixture import mixture_log_loss, normalised
from carvision.ensembling.study import Tuned, starting_points, tune_weights

__all__ = [
    "Tuned",
    "mixture_log_loss",
    "normalised",
    "starting_points",
    "tune_weights",
]

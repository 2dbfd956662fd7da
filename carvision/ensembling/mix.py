"""Arithmetic mixtures of members' predictions, and what they cost in log loss.

A candidate is a (member, view) pair. The log loss of an arithmetic mixture needs only each
candidate's probability of the true class: ``[images, candidates]``.
"""

import numpy as np
from numpy.typing import NDArray

from carvision.metrics import MIN_PROBABILITY, log_loss_of_true_class

#: Nats.
MIN_LOG_PROBABILITY = float(np.log(MIN_PROBABILITY))


def normalised(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Weights scaled to sum to one; all zero becomes equal."""
    total = float(weights.sum())
    if total <= 0:
        return np.full(len(weights), 1 / len(weights))
    return np.asarray(weights, dtype=np.float64) / total


def mixture_log_loss(true_class: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    """Log loss in nats of a mixture.

    ``true_class`` holds probabilities ``[images, candidates]``, ``weights`` ``[candidates]`` sum to
    one.
    """
    # A zero probability is clipped by the metric, as the competition's is.
    with np.errstate(divide="ignore"):
        return log_loss_of_true_class(np.log(true_class @ weights))

"""Scores in numpy: the competition's log loss, and the metrics of a validation epoch.

Array arguments: ``log_probabilities`` is ``[images, classes]`` in nats, ``targets`` is ``[images]``
with class indices. No argument is changed in place.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.errors import DataError

#: The competition clips probabilities to [1e-15, 1 - 1e-15] before the logarithm.
CLIP = 1e-15

#: The smallest probability with a finite logarithm: a geometric mixture raises a zero to it, in
#: tuning, forecast and prediction alike.
MIN_PROBABILITY = float(np.finfo(np.float64).tiny)


def competition_log_loss(answers: Sequence[str], submission: pd.DataFrame) -> float:
    """Compute the competition's metric: log loss in nats over the classes of the answers.

    ``answers`` holds the true class of each row of ``submission``, whose columns are class names.
    Columns that no answer names are ignored. Of two columns with one name, the last is the class's:
    the first holds the IDs. Each row is divided by its sum over the scored classes, then clipped.

    Raises:
        DataError: a scored class has no column, a value is NaN or outside [0, 1], a row sums to
            zero, or the lengths differ.
    """
    if len(answers) != len(submission):
        raise DataError(f"{len(answers)} answers for {len(submission)} rows of the submission")
    if len(answers) == 0:
        raise DataError("there are no answers to score against")
    classes = sorted(set(answers))
    places = {name: place for place, name in enumerate(submission.columns)}
    missing = [name for name in classes if name not in places]
    if missing:
        raise DataError(f"the submission has no column for the scored classes {missing}")
    values = submission.iloc[:, [places[name] for name in classes]].to_numpy(dtype=np.float64)
    if np.isnan(values).any():
        raise DataError("the submission holds NaN")
    if (values < 0).any() or (values > 1).any():
        raise DataError("the submission holds values outside [0, 1]")
    sums = values.sum(axis=1, keepdims=True)
    if (sums == 0).any():
        raise DataError(f"row {int(np.argmin(sums))} of the submission is zero for every class")
    probabilities = np.clip(values / sums, CLIP, 1 - CLIP)
    columns = pd.Index(classes).get_indexer(pd.Index(answers))
    return float(-np.log(probabilities[np.arange(len(answers)), columns]).mean())


def log_loss_of_true_class(log_probabilities: NDArray[np.floating]) -> float:
    """Compute the log loss in nats from the true class's log-probability, ``[images]``."""
    clipped = np.maximum(log_probabilities.astype(np.float64), np.log(CLIP))
    return float(-clipped.mean())


def true_class_column(
    log_probabilities: NDArray[np.floating], targets: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Select the true class's log-probability, ``[..., images]`` of ``[..., images, classes]``."""
    index = np.broadcast_to(targets[..., None], (*log_probabilities.shape[:-1], 1))
    return np.take_along_axis(log_probabilities, index, axis=-1)[..., 0]


def accuracy(
    log_probabilities: NDArray[np.floating], targets: NDArray[np.integer], top: int = 1
) -> float:
    """Compute the share of images whose true class is among the ``top`` most probable ones."""
    if top >= log_probabilities.shape[1]:
        return 1.0
    best = np.argpartition(-log_probabilities, top - 1, axis=1)[:, :top]
    return float((best == targets[:, None]).any(axis=1).mean())


def entropy(log_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the entropy of each image's prediction in nats, ``[images]``."""
    # A finite number for -inf, so that a probability of 0 adds 0.
    finite = np.maximum(log_probabilities, np.finfo(log_probabilities.dtype).min)
    return -(np.exp(finite) * finite).sum(axis=1, dtype=np.float64)


def expected_calibration_error(
    log_probabilities: NDArray[np.floating], targets: NDArray[np.integer], bins: int = 15
) -> float:
    """Compute the expected calibration error in equal-width bins (Guo et al., arXiv 1706.04599)."""
    confidence = np.exp(log_probabilities.max(axis=1).astype(np.float64))
    correct = log_probabilities.argmax(axis=1) == targets
    # A bin is (low, high], as in the paper.
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(which, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))


def validation_metrics(
    log_probabilities: NDArray[np.floating], targets: NDArray[np.integer]
) -> dict[str, float]:
    """Compute the metrics of a validation epoch, by their names in the tracker."""
    return {
        "val/log_loss": log_loss_of_true_class(true_class_column(log_probabilities, targets)),
        "val/accuracy": accuracy(log_probabilities, targets),
        "val/top5": accuracy(log_probabilities, targets, top=5),
        "val/ece": expected_calibration_error(log_probabilities, targets),
    }

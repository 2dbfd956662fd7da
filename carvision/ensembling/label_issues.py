"""Suspicious labels by confident learning: labels that the out-of-fold predictions contradict.

The method is Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels",
arXiv 1911.00068 (its confident joint, section 3.1, and its ranking by normalised margin). A label
is suspicious if models that were not trained on the photo confidently predict another class.
Confident means: at least the class's threshold, which is its mean probability over the photos with
this label. So classes that are hard to recognise, or predicted too often, raise no false alarms.

The confident joint also estimates the share of wrong labels (section 3.1, calibrated to the counts
of the labels). For a weak model it is far too high, as the model contradicts what it has not
learned. In ten data sets that people checked, 0.15 to 10.1 % of the labels are wrong (Northcutt,
Athalye and Mueller, arXiv 2103.14749). An estimate of more than twice the highest of these must
mostly count the model's own errors, so such a model cannot judge labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.errors import PredictionsError

#: Twice the share of wrong labels in the worst of ten data sets that people checked.
MOST_WRONG: Final = 0.2
_COLUMNS = [
    "image_id",
    "reason",
    "label",
    "suggested",
    "suggested_probability",
    "own_probability",
    "margin",
]


def suspicious_labels(
    log_probabilities: NDArray[np.floating],
    targets: NDArray[np.integer],
    image_ids: Sequence[str],
    class_names: Sequence[str],
) -> pd.DataFrame:
    """A table of the photos whose label is probably wrong, the most suspicious first.

    ``log_probabilities`` ``[images, classes]`` are out of fold, in nats; ``targets`` ``[images]``
    are the labels' class indices. A row holds the ``suggested`` class and its probability, the
    label's own probability, the ``margin`` (own minus suggested, which gives the ranking), and a
    ``reason`` in words.

    Raises:
        PredictionsError: the shapes disagree, a target is no class, or a prediction is NaN.
    """
    _check(log_probabilities, targets, image_ids, class_names)
    suggested, theirs, own = _suggestions(log_probabilities, targets)
    # Theirs is -1 if no class reaches its threshold, and own if the label's class is the best.
    found = np.flatnonzero(theirs > own)
    found = found[np.argsort(own[found] - theirs[found], kind="stable")]
    names = np.array(class_names, dtype=object)
    table = pd.DataFrame(
        {
            "image_id": np.array(image_ids, dtype=object)[found],
            "label": names[targets[found]],
            "suggested": names[suggested[found]],
            "suggested_probability": theirs[found],
            "own_probability": own[found],
            "margin": own[found] - theirs[found],
        }
    )
    table["reason"] = [
        f"suspicious label: looks like {row.suggested} ({row.suggested_probability:.3f}), "
        f"labelled {row.label} ({row.own_probability:.3f})"
        for row in table.itertuples()
    ]
    return table[_COLUMNS]


@dataclass(frozen=True)
class LabelJudgement:
    """How well a model can judge labels.

    ``accuracy`` is measured by the labels. ``wrong`` is confident learning's estimate of the share
    of wrong labels: the sum off the diagonal of the calibrated confident joint.
    """

    accuracy: float
    wrong: float

    @classmethod
    def of(cls, log_probabilities: NDArray[np.floating], targets: NDArray[np.integer]) -> Self:
        """Judge a model by its out-of-fold predictions ``[images, classes]`` and the labels."""
        classes = log_probabilities.shape[1]
        suggested, theirs, _ = _suggestions(log_probabilities, targets)
        sure = theirs >= 0
        confident = np.bincount(targets[sure], minlength=classes)
        contradicted = sure & (suggested != targets)
        wrong = np.bincount(targets[contradicted], minlength=classes)
        # Without a confident photo of a label, none of these labels counts as wrong.
        shares = np.divide(wrong, confident, out=np.zeros(classes), where=confident > 0)
        labelled = np.bincount(targets, minlength=classes)
        accuracy = float((log_probabilities.argmax(axis=1) == targets).mean())
        return cls(accuracy, float(shares @ labelled / labelled.sum()))

    @property
    def too_weak(self) -> bool:
        """Whether most of the contradicted labels must be the model's errors."""
        return self.wrong > MOST_WRONG


def _suggestions(
    log_probabilities: NDArray[np.floating], targets: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.float64], NDArray[np.float64]]:
    """For each photo the suggested class, its probability, and the label's probability.

    The suggested class's probability is -1 if no class reaches its threshold.
    """
    probabilities = np.exp(log_probabilities.astype(np.float64))
    rows = np.arange(len(targets))
    own = probabilities[rows, targets]
    thresholds = class_thresholds(own, targets, probabilities.shape[1])
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    return suggested, confident[rows, suggested], own


def class_thresholds(
    own: NDArray[np.floating], targets: NDArray[np.integer], classes: int
) -> NDArray[np.float64]:
    """Each class's mean probability over the photos with its label, ``[classes]``.

    ``own`` is the probability of each photo's label, ``[images]``. The threshold of a class that is
    no photo's label is infinity.
    """
    count = np.bincount(targets, minlength=classes)
    total = np.bincount(targets, weights=own, minlength=classes)
    return np.divide(total, count, out=np.full(classes, np.inf), where=count > 0)


def _check(
    log_probabilities: NDArray[np.floating],
    targets: NDArray[np.integer],
    image_ids: Sequence[str],
    class_names: Sequence[str],
) -> None:
    expected = (len(targets), len(class_names))
    if log_probabilities.shape != expected or len(image_ids) != len(targets):
        raise PredictionsError(
            f"expected predictions {expected} and {len(targets)} photos, got "
            f"{log_probabilities.shape} and {len(image_ids)}"
        )
    if len(targets) and not (targets.min() >= 0 and targets.max() < len(class_names)):
        raise PredictionsError(f"a target is not one of the {len(class_names)} classes")
    if np.isnan(log_probabilities).any():
        raise PredictionsError("the predictions hold NaN")

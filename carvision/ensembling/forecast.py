"""What the submission will score, forecast before anybody knows the answers.

The out-of-fold photos have known losses, under weights fitted without them. Four steps lead from
them to the test photos:

1. Weigh them by the confidence that a single fold's models have in the test photos. Both sides'
   confidence is the submitted ensemble's: the same photos move nothing.
2. Add what choosing each fold's best epoch on the scored fold flattered.
3. Subtract what the mean over all folds gains over a single one (:mod:`.fold_averaging`).
4. Draw the training groups again, and a test of this size, for an interval
   (:mod:`.sampling_noise`).

Losses are in nats. Test photos are taken as unrelated to each other: copies among them would widen
the interval.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from carvision.contracts import EnsembleOof
from carvision.ensembling.fold_averaging import TestFolds
from carvision.ensembling.sampling_noise import accuracy_interval, loss_deviations
from carvision.ensembling.shift import Shift
from carvision.ensembling.strata import Strata
from carvision.ensembling.thresholded_confidence import ThresholdedConfidence
from carvision.metrics import CLIP

_DRAWS: Final = 1000
_LEVEL: Final = 0.9
#: Below it a difference is a rounding error.
_NOTHING: Final = 1e-6
#: Drawn at a time: 8 MB of them.
_AT_A_TIME: Final = 2**20


@dataclass(frozen=True)
class Forecast:
    """The expected score of a submission, and what it was put together from.

    ``low`` to ``high`` holds the log loss with 90 % confidence, ``accuracy_low`` to
    ``accuracy_high`` the accuracy. The ``accuracy`` is by average thresholded confidence
    (:mod:`.thresholded_confidence`) as far as that departs by more than chance from
    ``reweighted_accuracy``, which is by the weights of the log loss. Then: ``oof_log_loss`` as it
    is, ``reweighted`` to the test's confidence, the ``selection_optimism`` added, the
    ``averaging_gain`` subtracted.

    ``shift`` is None where the out-of-fold confidence is not the submitted ensemble's, so that
    nothing can be weighed by it.
    """

    log_loss: float
    low: float
    high: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    reweighted_accuracy: float
    oof_log_loss: float
    reweighted: float
    selection_optimism: float
    averaging_gain: float
    shift: Shift | None

    @property
    def warning(self) -> str | None:
        """Why the forecast is less to be trusted; None where nothing speaks against it."""
        if self.shift is not None:
            return self.shift.warning
        return (
            "the ensemble was tuned by an earlier version, so this forecast cannot tell whether "
            "the test photos are unlike the training photos; tune again: mlflow run . -e tune"
        )


def forecast(oof: EnsembleOof, test: TestFolds, seed: int) -> Forecast:
    """The score to expect of the test predictions that ``test`` sums up."""
    photos = oof.photos
    losses = photos["log_loss"].to_numpy(dtype=np.float64)
    correct = np.asarray(photos["predicted"] == photos["class_index"], dtype=np.float64)
    confidence = photos["confidence"].to_numpy(dtype=np.float64)
    _, group_of = np.unique(photos["group"].to_numpy(dtype=str), return_inverse=True)
    groups, images = int(group_of.max()) + 1, test.confidence.shape[1]
    compared = test.confidence if oof.of_submitted else confidence
    strata = Strata.of(confidence, compared)
    threshold = ThresholdedConfidence(confidence, compared)

    # The first of each is the estimate itself, the others are its redrawings.
    reweighted, reweighted_accuracy, by_threshold = np.concatenate(
        [
            (
                strata.carried_over(losses, times),
                strata.carried_over(correct, times),
                threshold.accuracy(correct, times),
            )
            for times in _redrawn(group_of, seed)
        ],
        axis=1,
    )
    departure = by_threshold - reweighted_accuracy
    # What two sets of photos that are alike differ by, as they are both a sample.
    smoothed = strata.smoothed(losses), strata.smoothed(correct)
    noise = np.std([*smoothed, threshold.is_above(correct) - smoothed[1]], axis=1)
    noise = np.maximum(noise * np.sqrt(1 / images + 1 / groups), _NOTHING)
    moved = [reweighted[0] - losses.mean(), reweighted_accuracy[0] - correct.mean(), departure[0]]
    # The positive-part estimator of James and Stein (1961).
    trust = max(0.0, 1 - (noise[2] / max(abs(departure[0]), _NOTHING)) ** 2)

    single = reweighted + oof.selection_optimism
    gain, accuracy_gain = test.gain(single), test.accuracy_gain(single)
    log_loss = single - gain
    accuracy = np.clip(reweighted_accuracy + trust * departure + accuracy_gain, 0, 1)
    generator = np.random.default_rng(seed)
    # Averaged predictions scatter less than one fold's, about as their loss is lower.
    scale = log_loss[0] / max(single[0], CLIP)
    deviations = scale * loss_deviations(losses, strata, images, _DRAWS, generator)
    low, high = np.quantile(log_loss[1:] + deviations, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    worst, best = accuracy_interval(accuracy, groups, images, _LEVEL, generator)
    shift = Shift.between(confidence, test.confidence, float(np.max(np.abs(moved) / noise)))
    return Forecast(
        log_loss=float(max(log_loss[0], 0.0)),
        low=float(max(low, 0.0)),
        high=float(high),
        accuracy=float(accuracy[0]),
        accuracy_low=worst,
        accuracy_high=best,
        reweighted_accuracy=float(np.clip(reweighted_accuracy[0] + accuracy_gain[0], 0, 1)),
        oof_log_loss=float(losses.mean()),
        reweighted=float(reweighted[0]),
        selection_optimism=oof.selection_optimism,
        averaging_gain=float(gain[0]),
        shift=shift if oof.of_submitted else None,
    )


def _redrawn(group_of: NDArray[np.integer], seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each photo counts, ``[draws, photos]``: once, then as groups are drawn anew.

    Photos of one group are one observation.
    """
    yield np.ones((1, len(group_of)))
    generator = np.random.default_rng(seed)
    groups = int(group_of.max()) + 1
    at_a_time = max(1, _AT_A_TIME // len(group_of))
    for start in range(0, _DRAWS, at_a_time):
        drawn = [
            np.bincount(generator.integers(groups, size=groups), minlength=groups)
            for _ in range(min(at_a_time, _DRAWS - start))
        ]
        yield np.stack(drawn)[:, group_of].astype(np.float64)

"""The forecast of a submission's score, made before the answers are known.

The out-of-fold photos have known losses, by weights fitted without their fold. Four steps lead from
these to the test photos:

1. Reweight them to the confidence of single folds' models on the test photos. On both sides it is
   the confidence of the submitted ensemble, so that equal photos change nothing.
2. Add the optimism of choosing each fold's best epoch on the scored fold (:mod:`.epoch_selection`).
3. Subtract what the mean over all folds gains over one fold (:mod:`.fold_averaging`).
4. For an interval, draw the training groups again, and a test of this size
   (:mod:`.sampling_noise`).

Losses are in nats. Test photos are assumed to be independent: copies among them would widen the
interval.
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
#: A difference below it is a rounding error.
_ROUNDING: Final = 1e-6
#: Counts that are drawn at a time, 8 MB.
_AT_A_TIME: Final = 2**20


@dataclass(frozen=True)
class Forecast:
    """The expected score of a submission, and its components.

    The log loss lies between ``low`` and ``high`` with 90 % confidence, the accuracy between
    ``accuracy_low`` and ``accuracy_high``. The ``accuracy`` is the ``reweighted_accuracy``, by the
    weights of the log loss, moved towards the estimate of :mod:`.thresholded_confidence` as far as
    these two differ by more than chance.

    The log loss is the ``oof_log_loss``, ``reweighted`` to the test photos' confidence, plus the
    ``selection_optimism``, minus the ``averaging_gain``.

    ``shift`` is None where the out-of-fold confidence is not the submitted ensemble's, so that
    nothing can be reweighted by it.
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
        """Why the forecast is less reliable; None if there is no reason."""
        if self.shift is not None:
            return self.shift.warning
        return (
            "the ensemble was tuned by an earlier version, so this forecast cannot tell whether "
            "the test photos are unlike the training photos; tune again: mlflow run . -e tune"
        )


def forecast_score(oof: EnsembleOof, test: TestFolds, seed: int) -> Forecast:
    """Forecast the score of the test predictions that ``test`` summarises."""
    known = _KnownPhotos.of(oof)
    images = test.confidence.shape[1]
    compared = test.confidence if oof.of_submitted else known.confidence
    strata = Strata.of(known.confidence, compared)
    threshold = ThresholdedConfidence(known.confidence, compared)
    # In each of them the estimate itself comes first, then its bootstrap draws.
    reweighted, reweighted_accuracy, by_threshold = _estimates(known, strata, threshold, seed)

    departure = by_threshold - reweighted_accuracy
    noise = _sampling_errors(known, strata, threshold, images)
    # The positive-part estimator of James and Stein (1961).
    trust = max(0.0, 1 - (noise[2] / max(abs(departure[0]), _ROUNDING)) ** 2)
    single = reweighted + oof.selection_optimism
    gain, accuracy_gain = test.gain(single), test.accuracy_gain(single)
    log_loss = single - gain
    accuracy = np.clip(reweighted_accuracy + trust * departure + accuracy_gain, 0, 1)

    generator = np.random.default_rng(seed)
    # Averaged predictions vary less than one fold's, about in proportion to their loss.
    scale = log_loss[0] / max(single[0], CLIP)
    deviations = scale * loss_deviations(known.losses, strata, images, _DRAWS, generator)
    low, high = np.quantile(log_loss[1:] + deviations, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    worst, best = accuracy_interval(accuracy, known.groups, images, _LEVEL, generator)
    means = known.losses.mean(), known.correct.mean()
    moved = [reweighted[0] - means[0], reweighted_accuracy[0] - means[1], departure[0]]
    shift = Shift.between(known.confidence, test.confidence, float(np.max(np.abs(moved) / noise)))
    return Forecast(
        log_loss=float(max(log_loss[0], 0.0)),
        low=float(max(low, 0.0)),
        high=float(high),
        accuracy=float(accuracy[0]),
        accuracy_low=worst,
        accuracy_high=best,
        reweighted_accuracy=float(np.clip(reweighted_accuracy[0] + accuracy_gain[0], 0, 1)),
        oof_log_loss=float(means[0]),
        reweighted=float(reweighted[0]),
        selection_optimism=oof.selection_optimism,
        averaging_gain=float(gain[0]),
        shift=shift if oof.of_submitted else None,
    )


@dataclass(frozen=True)
class _KnownPhotos:
    """The out-of-fold photos, all arrays ``[photos]``."""

    losses: NDArray[np.float64]
    correct: NDArray[np.float64]
    confidence: NDArray[np.float64]
    group_of: NDArray[np.integer]

    @classmethod
    def of(cls, oof: EnsembleOof) -> "_KnownPhotos":
        photos = oof.photos
        _, group_of = np.unique(photos["group"].to_numpy(dtype=str), return_inverse=True)
        return cls(
            photos["log_loss"].to_numpy(dtype=np.float64),
            np.asarray(photos["predicted"] == photos["class_index"], dtype=np.float64),
            photos["confidence"].to_numpy(dtype=np.float64),
            group_of,
        )

    @property
    def groups(self) -> int:
        """The number of groups of copies."""
        return int(self.group_of.max()) + 1


def _estimates(
    known: _KnownPhotos, strata: Strata, threshold: ThresholdedConfidence, seed: int
) -> NDArray[np.float64]:
    """Reweighted loss and accuracy, and the accuracy by threshold, ``[3, 1 + draws]``."""
    return np.concatenate(
        [
            (
                strata.reweighted(known.losses, times),
                strata.reweighted(known.correct, times),
                threshold.accuracy(known.correct, times),
            )
            for times in _bootstrap_counts(known, seed)
        ],
        axis=1,
    )


def _sampling_errors(
    known: _KnownPhotos, strata: Strata, threshold: ThresholdedConfidence, images: int
) -> NDArray[np.float64]:
    """Standard deviations of loss, accuracy and departure between two samples that are alike."""
    losses, correct = strata.smoothed(known.losses), strata.smoothed(known.correct)
    noise = np.std([losses, correct, threshold.is_above(known.correct) - correct], axis=1)
    return np.maximum(noise * np.sqrt(1 / images + 1 / known.groups), _ROUNDING)


def _bootstrap_counts(known: _KnownPhotos, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each photo counts, ``[draws, photos]``: once, then in draws of whole groups.

    Photos of one group are one observation.
    """
    yield np.ones((1, len(known.group_of)))
    generator = np.random.default_rng(seed)
    groups = known.groups
    at_a_time = max(1, _AT_A_TIME // len(known.group_of))
    for start in range(0, _DRAWS, at_a_time):
        drawn = [
            np.bincount(generator.integers(groups, size=groups), minlength=groups)
            for _ in range(min(at_a_time, _DRAWS - start))
        ]
        yield np.stack(drawn)[:, known.group_of].astype(np.float64)

"""What the submission will score, forecast before anybody knows the answers.

The out-of-fold photos have known losses, under weights fitted without them. Four steps lead from
them to the test photos:

1. Weigh them by the confidence that a single fold's models have in the test photos.
2. Add what choosing each fold's best epoch on the scored fold flattered.
3. Subtract what the mean over all folds gains over a single one (:mod:`.averaging`).
4. Draw the training groups again, and the noise of a test of this size, for an interval.

Losses are in nats. Test photos are taken as unrelated to each other: copies among them would widen
the interval.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from carvision.contracts import EnsembleOof
from carvision.ensembling.averaging import TestFolds
from carvision.ensembling.shift import Shift
from carvision.metrics import CLIP

_DRAWS: Final = 1000
_LEVEL: Final = 0.9
_BINS: Final = 10
_PER_BIN: Final = 20


@dataclass(frozen=True)
class Forecast:
    """The expected score of a submission, and what it was put together from.

    ``low`` to ``high`` holds the log loss with 90 % confidence, ``accuracy_low`` to
    ``accuracy_high`` the accuracy. The ``accuracy`` is by average thresholded confidence (Garg et
    al., arXiv 2201.04234), ``reweighted_accuracy`` by the weights of the log loss. Then:
    ``oof_log_loss`` as it is, ``reweighted`` to the test's confidence, the ``selection_optimism``
    added, the ``averaging_gain`` subtracted.
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
    shift: Shift


def forecast(oof: EnsembleOof, test: TestFolds, seed: int) -> Forecast:
    """The score to expect of the test predictions that ``test`` sums up."""
    photos = oof.photos
    losses = photos["log_loss"].to_numpy(dtype=np.float64)
    correct = np.asarray(photos["predicted"] == photos["class_index"], dtype=np.float64)
    confidence = photos["confidence"].to_numpy(dtype=np.float64)
    _, group_of = np.unique(photos["group"].to_numpy(dtype=str), return_inverse=True)
    strata = _Strata.of(confidence, test.confidence)
    accuracy_of = _ThresholdedConfidence(confidence, test.confidence)

    # The first column is the estimate itself, the others are its redrawings.
    reweighted, by_threshold = np.array(
        [
            (strata.mean(losses, times), accuracy_of(correct, times))
            for times in _redrawn(group_of, seed)
        ]
    ).T
    single = reweighted + oof.selection_optimism
    gain, accuracy_gain = test.gain(single), test.accuracy_gain(single)
    log_loss, accuracy = single - gain, np.clip(by_threshold + accuracy_gain, 0, 1)

    noise = np.random.default_rng(seed).normal(size=(2, _DRAWS))
    images = test.confidence.shape[1]
    # Averaged predictions scatter less than one fold's, about as their loss is lower.
    spread = np.sqrt(strata.variance(losses) / images) * log_loss[0] / max(single[0], CLIP)
    chance = np.sqrt(accuracy[0] * (1 - accuracy[0]) / images)
    bounds = [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]
    low, high = np.quantile(log_loss[1:] + spread * noise[0], bounds)
    worst, best = np.quantile(accuracy[1:] + chance * noise[1], bounds)
    reweighted_accuracy = strata.mean(correct, np.ones(len(photos))) + accuracy_gain[0]
    return Forecast(
        log_loss=float(max(log_loss[0], 0.0)),
        low=float(max(low, 0.0)),
        high=float(high),
        accuracy=float(accuracy[0]),
        accuracy_low=float(max(worst, 0.0)),
        accuracy_high=float(min(best, 1.0)),
        reweighted_accuracy=float(min(reweighted_accuracy, 1.0)),
        oof_log_loss=float(losses.mean()),
        reweighted=float(reweighted[0]),
        selection_optimism=oof.selection_optimism,
        averaging_gain=float(gain[0]),
        shift=Shift.between(confidence, test.confidence),
    )


def _redrawn(group_of: NDArray[np.integer], seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each photo counts, ``[photos]``: once, then as whole groups are drawn anew.

    Photos of one group are one observation.
    """
    yield np.ones(len(group_of))
    generator = np.random.default_rng(seed)
    groups = int(group_of.max()) + 1
    for _ in range(_DRAWS):
        drawn = np.bincount(generator.integers(groups, size=groups), minlength=groups)
        yield drawn[group_of].astype(np.float64)


@dataclass(frozen=True)
class _Strata:
    """Photos by confidence, in bins that hold as many of them each.

    ``bin_of`` is ``[photos]``; ``shares`` ``[bins]`` is how the test photos fall into the bins.
    """

    bin_of: NDArray[np.integer]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: NDArray[np.float64], test: NDArray[np.float64]) -> "_Strata":
        bins = int(np.clip(len(confidence) // _PER_BIN, 1, _BINS))
        inner = np.unique(np.quantile(confidence, np.arange(1, bins) / bins))
        counts = np.bincount(np.searchsorted(inner, test.ravel()), minlength=len(inner) + 1)
        return cls(np.searchsorted(inner, confidence), counts / test.size)

    def mean(self, values: NDArray[np.float64], times: NDArray[np.float64]) -> float:
        """Mean over the test's shares; a bin without photos takes the mean of all."""
        means = self._by_bin(values, times, float(np.average(values, weights=times)))
        return float(self.shares @ means)

    def variance(self, values: NDArray[np.float64]) -> float:
        """Mean variance within a bin: what is left by chance once the confidence is known."""
        times = np.ones(len(values))
        means = self._by_bin(values, times, 0.0)
        within = (values - means[self.bin_of]) ** 2
        return float(self.shares @ self._by_bin(within, times, float(within.mean())))

    def _by_bin(
        self, values: NDArray[np.float64], times: NDArray[np.float64], otherwise: float
    ) -> NDArray[np.float64]:
        count = np.bincount(self.bin_of, weights=times, minlength=len(self.shares))
        total = np.bincount(self.bin_of, weights=times * values, minlength=len(self.shares))
        return np.divide(total, count, out=np.full(len(count), otherwise), where=count > 0)


class _ThresholdedConfidence:
    """Average thresholded confidence: the share of test photos above a threshold.

    The threshold is the one above which lies as large a share of the known photos as is right.
    """

    def __init__(self, confidence: NDArray[np.float64], test: NDArray[np.float64]) -> None:
        # From the surest down, both.
        self._order = np.argsort(-confidence, kind="stable")
        self._known = -confidence[self._order]
        self._test = np.sort(-test.ravel())

    def __call__(self, correct: NDArray[np.float64], times: NDArray[np.float64]) -> float:
        counted = times[self._order]
        above = np.cumsum(counted)
        last = np.searchsorted(above, counted @ correct[self._order])
        threshold = self._known[min(int(last), len(above) - 1)]
        return float(np.searchsorted(self._test, threshold, side="right") / len(self._test))

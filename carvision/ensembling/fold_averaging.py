"""What test predictions gain over out-of-fold ones, because test photos see every fold's models.

Out of fold a photo is predicted by one fold's models; a test photo by all of them, whose mean has
a lower log loss (Jensen). How much lower depends on what is true where the folds disagree. Taken
for true here: a belief drawn from the folds' geometric mean, as sharp as makes one fold alone lose
what it is known to lose. (Of small networks trained on scikit-learn's digits in six ways this came
out at 0.93 to 1.0 times the true gain. Jensen's gap under the plain mean, ``mean KL(p || q_k)``,
came out at 0.8 to 1.7 times: the mean of several sure folds is less sure than what is known.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from carvision.contracts import tempered
from carvision.ensembling.mix import MIN_LOG_PROBABILITY
from carvision.metrics import CLIP, entropy

#: Beliefs from next to certain to next to none.
_TEMPERATURES: Final = np.geomspace(1 / 16, 16, 33)
#: Photos at a time: a hundred megabytes at a few hundred classes.
_CHUNK: Final = 4096


class FoldMixtures:
    """The ensemble's mixture of each fold's models alone, gathered member by member.

    Holds float32 ``[images, classes]`` for each of ``folds``, the folds that every member has.
    """

    def __init__(self, mixing: str, folds: Sequence[int]) -> None:
        self._geometric = mixing == "geometric"
        self._sums: dict[int, NDArray[np.float32] | float] = dict.fromkeys(folds, 0.0)

    def add(self, weights: NDArray[np.floating], fold: int, log_p: NDArray[np.floating]) -> None:
        """Add a member's predictions by its model of ``fold``, where that fold is wanted.

        ``log_p`` ``[views, images, classes]`` are tempered, ``weights`` ``[views]`` are the spec's.
        """
        if fold in self._sums:
            terms = np.maximum(log_p, MIN_LOG_PROBABILITY) if self._geometric else np.exp(log_p)
            added = np.tensordot(weights, terms, axes=1).astype(np.float32)
            self._sums[fold] = self._sums[fold] + added

    def of(self, chosen: NDArray[np.bool_]) -> "FoldMixtures":
        """The mixtures of the ``chosen`` images alone, ``[images]``."""
        part = FoldMixtures("geometric" if self._geometric else "arithmetic", ())
        part._sums = {fold: np.asarray(own)[chosen] for fold, own in self._sums.items()}
        return part

    def log_probabilities(self, start: int, stop: int) -> NDArray[np.float64]:
        """Log-probabilities in nats of the images from ``start`` to ``stop``: ``[folds, ...]``."""
        sums = np.stack([np.asarray(own)[start:stop] for own in self._sums.values()])
        values = sums.astype(np.float64)
        if self._geometric:
            return np.maximum(tempered(values, 1.0), np.log(CLIP))
        return np.log(np.maximum(values, CLIP))


@dataclass(frozen=True)
class TestFolds:
    """What a forecast needs of the test photos.

    ``confidence`` is the largest probability of each fold's mixture, ``entropy`` that mixture's in
    nats; both are ``[folds, images]``. The others say, for each of several beliefs from sharp to
    blunt, what is expected of one fold's mixture and of the submitted predictions: ``single_loss``
    and ``loss`` in nats, rising, ``single_accuracy`` and ``accuracy``; all ``[beliefs]``.
    """

    __test__ = False  # pytest would take the name for a test class

    confidence: NDArray[np.float64]
    entropy: NDArray[np.float64]
    single_loss: NDArray[np.float64]
    loss: NDArray[np.float64]
    single_accuracy: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @classmethod
    def of(cls, folds: FoldMixtures, submitted: NDArray[np.floating]) -> "TestFolds":
        """From each fold's mixture and the ``submitted`` probabilities ``[images, classes]``."""
        confidences, entropies, sums = [], [], np.zeros((4, len(_TEMPERATURES)))
        for start in range(0, len(submitted), _CHUNK):
            stop = min(start + _CHUNK, len(submitted))
            log_q = folds.log_probabilities(start, stop)
            confidences.append(np.exp(log_q.max(axis=2)))
            entropies.append(np.stack([entropy(own) for own in log_q]))
            sums += _expected(log_q, np.log(np.maximum(submitted[start:stop], CLIP)))
        by_fold = (np.concatenate(own, axis=1) for own in (confidences, entropies))
        return cls(*by_fold, *(sums / len(submitted)))

    def gain(self, single_loss: NDArray[np.floating]) -> NDArray[np.float64]:
        """Nats by which averaging lowers the loss, where one fold alone loses ``single_loss``."""
        return np.interp(single_loss, self.single_loss, self.single_loss - self.loss)

    def accuracy_gain(self, single_loss: NDArray[np.floating]) -> NDArray[np.float64]:
        """By how much averaging raises the accuracy, where one fold alone loses that much."""
        return np.interp(single_loss, self.single_loss, self.accuracy - self.single_accuracy)


def _expected(log_q: NDArray[np.float64], log_p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over images of single loss, loss, single accuracy and accuracy, ``[4, beliefs]``.

    ``log_q`` is ``[folds, images, classes]``, ``log_p`` ``[images, classes]``.
    """
    mean = log_q.mean(axis=0)
    # The classes that each fold, and the submission, would name: [images, folds], [images, 1].
    singles, best = log_q.argmax(axis=2).T, log_p.argmax(axis=1)[:, None]
    found = []
    for temperature in _TEMPERATURES:
        belief = np.exp(tempered(mean, temperature))
        found.append(
            (
                -(belief * mean).sum(),
                -(belief * log_p).sum(),
                np.take_along_axis(belief, singles, axis=1).mean(axis=1).sum(),
                np.take_along_axis(belief, best, axis=1).sum(),
            )
        )
    return np.array(found).T

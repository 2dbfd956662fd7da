"""The formula by which predictions are mixed: in tuning, prediction, forecast and serving alike.

A candidate is a (member, view) pair with a weight ``w`` and a temperature ``T``. A photo's
probabilities by the model of one fold are ``q``.

1. Temperature: ``q_T = softmax(log(q) / T)`` (Guo et al., arXiv 1706.04599).
2. Fold mean: ``p = mean(q_T)`` over the folds that predict the photo. Out of fold this is one.
3. Mixture of all candidates: arithmetic, ``sum(w * p)``, or geometric,
   ``softmax(sum(w * log(p)))``.

The log loss of an arithmetic mixture needs only each candidate's probability of the true class,
``[images, candidates]``: :func:`mixture_log_loss`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from carvision.contracts.ensemble import Mixing
from carvision.metrics import MIN_PROBABILITY, log_loss_of_true_class

#: Nats. A geometric mixture takes it for a probability of zero, whose logarithm is infinite.
MIN_LOG_PROBABILITY: Final = float(np.log(MIN_PROBABILITY))
#: exp(-80) is far from the smallest float32, 1e-38.
_SAFE_EXPONENT: Final = 80.0


def tempered(
    log_probabilities: NDArray[np.floating], temperature: float | NDArray[np.floating]
) -> NDArray[np.floating]:
    """Log-probabilities at a temperature, ``[..., classes]``; one array may hold several."""
    return log_softmax(log_probabilities / temperature, axis=-1)


def fold_mean(log_probabilities: Iterable[NDArray[np.floating]]) -> NDArray[np.float64]:
    """The mean probabilities of several folds, each given by its tempered log-probabilities."""
    total: NDArray[np.float64] | float = 0.0
    folds = 0
    for log_p in log_probabilities:
        total = total + np.exp(log_p)
        folds += 1
    return np.asarray(total) / folds


def mix(
    members: Sequence[NDArray[np.floating]], weights: Sequence[Sequence[float]], mixing: Mixing
) -> NDArray[np.float64]:
    """Mix members' fold means, each ``[views, images, classes]``: ``[images, classes]``.

    ``weights`` holds a weight for each view of each member; all of them sum to one.
    """
    mixture = Mixture(mixing)
    for views, own_weights in zip(members, weights, strict=True):
        for probabilities, weight in zip(views, own_weights, strict=True):
            mixture.add_probabilities(weight, probabilities)
    return mixture.probabilities()


class Mixture:
    """A mixture ``[images, classes]`` to which one candidate is added at a time.

    It is computed in the precision of what is added.
    """

    def __init__(self, mixing: Mixing) -> None:
        self._mixing = mixing
        self._total: NDArray[Any] | None = None

    def add(self, weight: float, log_p: NDArray[np.floating], temperature: float = 1.0) -> None:
        """Add a candidate by one fold's log-probabilities ``[images, classes]``, and temper them.

        This equals :meth:`add_probabilities` of the tempered probabilities, but costs less, and in
        float32 loses no probability below the smallest float32.
        """
        if self._mixing == "geometric":
            term = _scaled_and_floored(log_p, temperature)
            term *= weight
        else:
            term = _unnormalised(log_p, temperature)
            term *= weight / term.sum(axis=-1, keepdims=True)
        self._add(term)

    def add_probabilities(self, weight: float, probabilities: NDArray[np.floating]) -> None:
        """Add a candidate by its probabilities ``[images, classes]``, which are tempered."""
        if self._mixing == "geometric":
            self._add(weight * np.log(np.maximum(probabilities, MIN_PROBABILITY)))
        else:
            self._add(weight * probabilities)

    def _add(self, term: NDArray[Any]) -> None:
        if self._total is None:
            self._total = term
        else:
            self._total += term

    def images(self, chosen: NDArray[np.bool_] | slice) -> "Mixture":
        """The mixture of the ``chosen`` images alone."""
        part = Mixture(self._mixing)
        part._total = self._sum[chosen]
        return part

    def probabilities(self) -> NDArray[Any]:
        """Probabilities ``[images, classes]``."""
        return softmax(self._sum, axis=-1) if self._mixing == "geometric" else self._sum

    def log_probabilities(self) -> NDArray[Any]:
        """Log-probabilities ``[images, classes]`` in nats; a probability of zero is ``-inf``."""
        if self._mixing == "geometric":
            return log_softmax(self._sum, axis=-1)
        with np.errstate(divide="ignore"):
            return np.log(self._sum)

    @property
    def _sum(self) -> NDArray[Any]:
        assert self._total is not None  # a mixture of nothing has no shape
        return self._total


def _unnormalised(log_p: NDArray[np.floating], temperature: float) -> NDArray[Any]:
    """Tempered probabilities, up to a positive factor for each image."""
    scaled = log_p / temperature
    # The largest of n probabilities is at least 1/n: only where it is cold could all of them
    # underflow. Elsewhere the peak need not be subtracted, which saves a third of the time.
    if np.log(log_p.shape[-1]) / temperature > _SAFE_EXPONENT:
        scaled -= scaled.max(axis=-1, keepdims=True)
    return np.exp(scaled, out=scaled)


def _scaled_and_floored(log_p: NDArray[np.floating], temperature: float) -> NDArray[Any]:
    """Tempered log-probabilities, up to a number for each image, and at least the floor.

    These numbers cancel in a geometric mixture, so that normalising is left out where no value
    is near the floor.
    """
    scaled = log_p / temperature
    # The logarithm of a normalising sum lies within log(classes) times 1/T - 1.
    margin = np.log(log_p.shape[-1]) / min(1.0, temperature)
    if scaled.min(initial=0.0) > MIN_LOG_PROBABILITY + margin:
        return scaled
    return np.maximum(log_softmax(scaled, axis=-1), MIN_LOG_PROBABILITY)


def normalised(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Weights scaled to sum to one; if all are zero, equal weights."""
    total = float(weights.sum())
    if total <= 0:
        return np.full(len(weights), 1 / len(weights))
    return np.asarray(weights, dtype=np.float64) / total


def mixed_true_class(
    true_class: NDArray[np.floating], weights: NDArray[np.floating]
) -> NDArray[np.floating]:
    """The true class's log-probability in nats by an arithmetic mixture, ``[images]``.

    ``true_class`` holds tempered probabilities ``[images, candidates]``; ``weights``
    ``[candidates]`` sum to one.
    """
    with np.errstate(divide="ignore"):
        return np.log(true_class @ weights)


def mixture_log_loss(true_class: NDArray[np.floating], weights: NDArray[np.floating]) -> float:
    """Log loss in nats of an arithmetic mixture, by the arguments of :func:`mixed_true_class`."""
    return log_loss_of_true_class(mixed_true_class(true_class, weights))

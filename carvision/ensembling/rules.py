"""Rules for the weights of candidates: the exact optimum, and what competitors use.

A rule takes the true class's probabilities ``[images, candidates]``, which it may fit weights to,
and the plan's weights ``[candidates]``. It returns weights ``[candidates]`` that sum to one.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from carvision.ensembling.exact import exact_weights
from carvision.ensembling.mix import normalised
from carvision.metrics import CLIP

Matrix = NDArray[np.floating]
Weights = NDArray[np.float64]

#: Steps of the greedy selection.
_PICKS: Final = 30


def _exact(true_class: Matrix, plan_weights: Weights) -> Weights:
    return exact_weights(true_class).weights


def _equal(true_class: Matrix, plan_weights: Weights) -> Weights:
    return normalised(np.ones(len(plan_weights)))


def _plan_weights(true_class: Matrix, plan_weights: Weights) -> Weights:
    return normalised(plan_weights)


def _inverse(true_class: Matrix, plan_weights: Weights) -> Weights:
    """In proportion to the inverse of each candidate's own log loss."""
    return normalised(1 / np.maximum(_losses(true_class), CLIP))


def _best(true_class: Matrix, plan_weights: Weights) -> Weights:
    """All weight to the candidate of the lowest log loss."""
    weights = np.zeros(len(plan_weights))
    weights[int(np.argmin(_losses(true_class)))] = 1
    return weights


def _greedy(true_class: Matrix, plan_weights: Weights) -> Weights:
    """Greedy selection with replacement (Caruana et al., ICML 2004): the best of its steps."""
    p = np.maximum(true_class, CLIP)
    total = np.zeros(len(p))
    picks = np.zeros(p.shape[1])
    best, best_loss = picks, np.inf
    for pick in range(1, _PICKS + 1):
        losses = -np.log((total[:, None] + p) / pick).mean(axis=0)
        chosen = int(np.argmin(losses))
        total = total + p[:, chosen]
        picks[chosen] += 1
        if losses[chosen] < best_loss:
            best, best_loss = picks.copy(), float(losses[chosen])
    return normalised(best)


def _losses(true_class: Matrix) -> Weights:
    """Each candidate's own log loss, ``[candidates]``."""
    return -np.log(np.maximum(true_class, CLIP)).mean(axis=0)


RULES: Final[dict[str, Callable[[Matrix, Weights], Weights]]] = {
    "exact": _exact,
    "equal": _equal,
    "plan": _plan_weights,
    "inverse": _inverse,
    "best": _best,
    "greedy": _greedy,
}

"""Rules for the weights of candidates: what competitors use, beside the exact optimum.

Each takes the true class's probabilities ``[images, candidates]`` that it may fit on, and the
plan's weights ``[candidates]``, and gives weights that sum to one.
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

#: Picks of the greedy selection.
_PICKS = 30


def _exact(true_class: Matrix, plan: Matrix) -> Weights:
    return exact_weights(true_class).weights


def _equal(true_class: Matrix, plan: Matrix) -> Weights:
    return normalised(np.ones(len(plan)))


def _plan(true_class: Matrix, plan: Matrix) -> Weights:
    return normalised(plan)


def _inverse(true_class: Matrix, plan: Matrix) -> Weights:
    """The better, the more: one over each candidate's own log loss."""
    return normalised(1 / np.maximum(_losses(true_class), CLIP))


def _best(true_class: Matrix, plan: Matrix) -> Weights:
    """The best single candidate alone."""
    weights = np.zeros(len(plan))
    weights[int(np.argmin(_losses(true_class)))] = 1
    return weights


def _greedy(true_class: Matrix, plan: Matrix) -> Weights:
    """Selection with replacement (Caruana et al., ICML 2004), the best of its steps."""
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
    """Each candidate's log loss alone."""
    return -np.log(np.maximum(true_class, CLIP)).mean(axis=0)


RULES: Final[dict[str, Callable[[Matrix, Matrix], Weights]]] = {
    "exact": _exact,
    "equal": _equal,
    "plan": _plan,
    "inverse": _inverse,
    "best": _best,
    "greedy": _greedy,
}

"""The weights of an arithmetic mixture that no others beat, with the proof beside them.

The log loss of a mixture is convex in its weights, and homogeneity makes the sum of one come by
itself: minimising ``-mean log(P w) + sum(w)`` over ``w >= 0`` ends at weights that sum to one. Each
step solves a quadratic model of it as non-negative least squares, so weights of no use become
exactly zero (mix-SQP: Kim, Carbonetto, Stephens and Anitescu, arXiv 1806.01412). Where that finds
nothing better, small steps do, which never go up: one towards a single candidate, and EM's
(Dempster, Laird and Rubin, 1977).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from carvision.ensembling.mix import normalised
from carvision.errors import PredictionsError
from carvision.metrics import CLIP

#: Nats; the solver stops below it.
GAP = 1e-9
_STEPS = 200
#: Beyond these, the quadratic model alone has ceased to be of use.
_PATIENCE = 50
#: Before the quadratic model is asked again.
_EM_STEPS = 20
_BISECTIONS = 50
#: On the Hessian's diagonal of ones: two equal candidates make it singular.
_RIDGE = 1e-12
#: No photo's probability falls below this share of itself in a step: beyond, the quadratic model
#: says nothing of the logarithm, and a step to the boundary would hardly find back.
_LEAST_LEFT = 0.1


@dataclass(frozen=True)
class Exact:
    """Weights ``[candidates]``, their log loss, and how far it can be above the optimum (nats)."""

    weights: NDArray[np.float64]
    log_loss: float
    gap: float


def exact_weights(
    true_class: NDArray[np.floating], start: NDArray[np.floating] | None = None
) -> Exact:
    """Minimise the log loss over the simplex.

    ``true_class`` holds probabilities ``[images, candidates]``; a zero counts as the metric's clip.
    ``start`` are weights to begin with, for speed alone. With ``g_k = mean(P_k / P w)`` the loss is
    at most ``max(g) - 1`` above the optimum: the duality gap.

    Raises:
        PredictionsError: there is nothing to mix, or a value is NaN.
    """
    if 0 in true_class.shape or np.isnan(true_class).any():
        raise PredictionsError(
            f"exact weights need probabilities without NaN, got an array of "
            f"{list(true_class.shape)}"
        )
    p = np.maximum(true_class.astype(np.float64), CLIP)
    images, candidates = p.shape
    equal = np.full(candidates, 1 / candidates)
    # Every candidate needs a chance: what starts at zero may stay there.
    weights = equal if start is None else normalised(0.99 * normalised(start) + 0.01 * equal)
    mixed = p @ weights
    for step in range(_STEPS):
        ratios = p / mixed[:, None]
        pull = ratios.mean(axis=0)
        if pull.max() - 1 <= GAP:
            break
        hessian = ratios.T @ ratios / images
        scale = 1 / np.sqrt(np.diag(hessian))
        scaled = hessian * np.outer(scale, scale)
        scaled[np.diag_indices(candidates)] += _RIDGE
        factor = cholesky(scaled, lower=True)
        # The model's gradient at v is H v - (2 pull - 1), as H w = pull.
        wanted, _ = nnls(factor.T, solve_triangular(factor, scale * (2 * pull - 1), lower=True))
        wanted = scale * wanted
        found = _line_search(
            p, weights, mixed, wanted, slope=float((1 - pull) @ (wanted - weights))
        )
        weights, mixed = found or (weights, mixed)
        if found is None or step >= _PATIENCE:
            weights, mixed = _small_steps(p, weights, mixed)
    return Exact(weights, float(-np.log(mixed).mean()), _gap(p, mixed))


def duality_gap(true_class: NDArray[np.floating], weights: NDArray[np.float64]) -> float:
    """By how many nats at most ``weights`` are above the optimum over these candidates."""
    p = np.maximum(true_class.astype(np.float64), CLIP)
    return _gap(p, p @ weights)


def _gap(p: NDArray[np.float64], mixed: NDArray[np.float64]) -> float:
    return max(0.0, float((p / mixed[:, None]).mean(axis=0).max() - 1))


def _small_steps(
    p: NDArray[np.float64], weights: NDArray[np.float64], mixed: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights that cost less, and their mixture: by the candidate that pulls most, then by EM."""
    ratios = p / mixed[:, None]
    best = int(ratios.mean(axis=0).argmax())
    # EM moves no weight from zero. Along this line the loss is convex: bisect its slope.
    gain = ratios[:, best] - 1
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        share = (low + high) / 2
        low, high = (share, high) if (gain / (1 + share * gain)).mean() > 0 else (low, share)
    weights = (1 - low) * weights
    weights[best] += low
    for _ in range(_EM_STEPS):
        weights = normalised(weights * (p / (p @ weights)[:, None]).mean(axis=0))
    return weights, p @ weights


def _line_search(
    p: NDArray[np.float64],
    weights: NDArray[np.float64],
    mixed: NDArray[np.float64],
    wanted: NDArray[np.float64],
    slope: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Weights on the way to ``wanted`` that cost less, and their mixture; None at the end."""
    before = float(weights.sum() - np.log(mixed).mean())
    towards = p @ wanted
    step = 1.0
    while step > 1e-10:
        trial = (1 - step) * mixed + step * towards
        total = float((1 - step) * weights.sum() + step * wanted.sum())
        if total > 0 and (trial >= _LEAST_LEFT * mixed).all():
            after = total - float(np.log(trial).mean())
            if after <= before + 1e-4 * step * slope:
                return normalised((1 - step) * weights + step * wanted), trial / total
        step /= 2
    return None

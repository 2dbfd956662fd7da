"""The optimal weights of an arithmetic mixture, with a bound of their distance to the optimum.

The log loss of a mixture is convex in its weights. Minimising ``-mean log(P w) + sum(w)`` over
``w >= 0`` gives weights that sum to one, without a constraint. Each step solves a quadratic model
of this function as non-negative least squares, which sets useless weights to exactly zero (mix-SQP:
Kim, Carbonetto, Stephens and Anitescu, arXiv 1806.01412). Where that does not lower the loss,
smaller steps follow, which never raise it: one towards a single candidate, then EM steps (Dempster,
Laird and Rubin, 1977).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from carvision.ensembling.mix import normalised
from carvision.errors import PredictionsError
from carvision.metrics import CLIP

#: The duality gap in nats below which the solver stops.
GAP: Final = 1e-9
_STEPS: Final = 200
#: Steps after which the quadratic model alone has proved not to be enough.
_PATIENCE: Final = 50
#: EM steps between two steps of the quadratic model.
_EM_STEPS: Final = 20
_BISECTIONS: Final = 50
#: Added to the Hessian's diagonal of ones: two equal candidates make it singular.
_RIDGE: Final = 1e-12
#: A step leaves each photo at least this share of its probability. Beyond it the quadratic model
#: does not describe the logarithm, and later steps would hardly leave the boundary again.
_LEAST_LEFT: Final = 0.1


@dataclass(frozen=True)
class ExactWeights:
    """Weights ``[candidates]``, their log loss, and by how much it exceeds the optimum at most.

    Both are in nats.
    """

    weights: NDArray[np.float64]
    log_loss: float
    gap: float


def exact_weights(true_class: NDArray[np.floating]) -> ExactWeights:
    """Minimise the log loss over weights that sum to one.

    ``true_class`` holds probabilities ``[images, candidates]``; a zero counts as the metric's clip.
    With ``g_k = mean(P_k / P w)`` the loss exceeds the optimum by at most ``max(g) - 1``, the
    duality gap.

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
    weights = np.full(candidates, 1 / candidates)
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
    return ExactWeights(weights, float(-np.log(mixed).mean()), _gap(p, mixed))


def duality_gap(true_class: NDArray[np.floating], weights: NDArray[np.float64]) -> float:
    """By how many nats at most the loss of ``weights`` exceeds the optimum of these candidates."""
    p = np.maximum(true_class.astype(np.float64), CLIP)
    return _gap(p, p @ weights)


def _gap(p: NDArray[np.float64], mixed: NDArray[np.float64]) -> float:
    return max(0.0, float((p / mixed[:, None]).mean(axis=0).max() - 1))


def _small_steps(
    p: NDArray[np.float64], weights: NDArray[np.float64], mixed: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower the loss towards the candidate of the steepest slope, then by EM.

    Returns the weights and their mixture.
    """
    ratios = p / mixed[:, None]
    best = int(ratios.mean(axis=0).argmax())
    # EM leaves a weight of zero at zero. Along this line the loss is convex: bisect its slope.
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
    """Weights between ``weights`` and ``wanted`` of a lower loss, and their mixture.

    None if even the shortest step does not lower it.
    """
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

"""How much the choice of the best epoch on the scored photos flatters the score.

A fold keeps the epoch with the lowest validation loss, and that same loss is its out-of-fold
score: the least of several noisy numbers. On other photos the chosen epoch does worse.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from carvision.errors import PredictionsError
from carvision.metrics import CLIP

_REPEATS: Final = 200


def selection_optimism(
    epochs: Sequence[NDArray[np.floating]],
    groups: Sequence[NDArray[np.generic]],
    shares: Sequence[float],
    seed: int,
) -> float:
    """By how many nats choosing each fold's best epoch flatters the out-of-fold log loss.

    ``epochs`` holds, for each choice that was made (a fold, of each member), the true class's
    log-probability ``[epochs, photos]``; ``groups`` the photos' groups ``[photos]``; ``shares`` the
    weight in the ensemble of the member that made it. The result is the mean over the photos of all
    choices, by these weights. For an ensemble of members that are about alike that is also what its
    own log loss gains: to first order a mixture's loss moves by the mean of its members' moves,
    weighted by their share in each photo's probability.

    The photos are halved by group, again and again. The epoch that is best on one half is scored
    on the other, against its score on the first: without bias the optimism of a choice among half
    of the photos. It comes from the noise of means, which over all photos is smaller by the root
    of two, and so is the result. That is exact where all epochs are as good as each other. Where
    one is better than the rest, more photos also make wrong choices rarer, and the result is too
    high (by a third, where the gap is as large as its own noise; far beyond that there is next to
    no optimism, true or estimated). A bootstrap of the full size would err on the other side: it
    takes the epochs' measured gaps, noise included, for true ones.

    A choice of one epoch, or over photos of one group, adds nothing.

    Raises:
        PredictionsError: the arrays do not fit each other.
    """
    if not len(epochs) == len(groups) == len(shares):
        raise PredictionsError(
            f"{len(epochs)} choices of an epoch, {len(groups)} lists of groups and {len(shares)} "
            "shares: expected as many of each"
        )
    for log_p, own in zip(epochs, groups, strict=True):
        if log_p.ndim != 2 or log_p.shape[1] != len(own):
            raise PredictionsError(f"expected [epochs, {len(own)} photos], got {log_p.shape}")
    generator = np.random.default_rng(seed)
    counts = [len(own) * share for own, share in zip(groups, shares, strict=True)]
    if sum(counts) == 0:
        return 0.0
    found = [_of_a_half(*choice, generator) for choice in zip(epochs, groups, strict=True)]
    return float(np.average(found, weights=counts) / np.sqrt(2))


def _of_a_half(
    log_p: NDArray[np.floating], groups: NDArray[np.generic], generator: np.random.Generator
) -> float:
    """Mean optimism of choosing on a random half, ``log_p`` being ``[epochs, photos]``."""
    _, group_of = np.unique(groups, return_inverse=True)
    count = np.bincount(group_of)
    if len(log_p) < 2 or len(count) < 2:
        return 0.0
    losses = -np.maximum(log_p.astype(np.float64), np.log(CLIP))
    by_group = np.stack([np.bincount(group_of, weights=loss) for loss in losses])
    order = generator.random((_REPEATS, len(count))).argsort(axis=1)
    half = (order < len(count) // 2).astype(np.float64)
    # Each half chooses once, and is scored once: [2, repeats, epochs].
    sides = np.stack([half, 1 - half])
    means = (sides @ by_group.T) / (sides @ count)[:, :, None]
    chosen = means.argmin(axis=2, keepdims=True)
    inside = np.take_along_axis(means, chosen, axis=2)
    outside = np.take_along_axis(means[::-1], chosen, axis=2)
    return float((outside - inside).mean())

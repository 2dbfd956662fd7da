"""The optimism of choosing the best epoch on the photos that are then scored.

A fold keeps the epoch with the lowest validation loss, and this loss is its out-of-fold score: the
minimum of several noisy numbers. On other photos the chosen epoch does worse.
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
    """By how many nats the choice of each fold's best epoch lowers the out-of-fold log loss.

    There is a choice for each fold of each member. For each, ``epochs`` holds the true class's
    log-probability ``[epochs, photos]``, ``groups`` the photos' groups ``[photos]``, and ``shares``
    the member's weight in the ensemble. The result is the mean over the photos of all choices,
    with these weights. It also applies to the loss of an ensemble of similar members: to first
    order, a mixture's loss changes by the mean of its members' changes, weighted by their share in
    each photo's probability.

    The photos are split into halves by group, many times. The epoch that is best on one half is
    scored on both: the difference is an unbiased estimate of the optimism of a choice on half of
    the photos. Optimism comes from the noise of means, which is smaller by the root of two for all
    photos, so the result is divided by it. That is exact if all epochs are equally good. If one is
    better, more photos also make wrong choices rarer, and the result is too high: by a third if the
    difference equals its own noise; far beyond that there is hardly any optimism, true or
    estimated. A bootstrap of all photos would be too low instead: it takes the measured differences
    of the epochs, noise included, for the true ones.

    A choice of one epoch, or over photos of one group, has no optimism.

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
    found = [_half_optimism(*choice, generator) for choice in zip(epochs, groups, strict=True)]
    return float(np.average(found, weights=counts) / np.sqrt(2))


def _half_optimism(
    log_p: NDArray[np.floating], groups: NDArray[np.generic], generator: np.random.Generator
) -> float:
    """The mean optimism of a choice on a random half; ``log_p`` is ``[epochs, photos]``."""
    _, group_of = np.unique(groups, return_inverse=True)
    count = np.bincount(group_of)
    if len(log_p) < 2 or len(count) < 2:
        return 0.0
    losses = -np.maximum(log_p.astype(np.float64), np.log(CLIP))
    by_group = np.stack([np.bincount(group_of, weights=loss) for loss in losses])
    order = generator.random((_REPEATS, len(count))).argsort(axis=1)
    half = (order < len(count) // 2).astype(np.float64)
    # An epoch is chosen on each half and scored on the other: [2, repeats, epochs].
    sides = np.stack([half, 1 - half])
    means = (sides @ by_group.T) / (sides @ count)[:, :, None]
    chosen = means.argmin(axis=2, keepdims=True)
    inside = np.take_along_axis(means, chosen, axis=2)
    outside = np.take_along_axis(means[::-1], chosen, axis=2)
    return float((outside - inside).mean())

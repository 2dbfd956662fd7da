"""The sampling noise of a score on a test set of a given size."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from carvision.ensembling.strata import Strata

#: Losses that are drawn at a time, 32 MB.
_AT_A_TIME: Final = 2**22


def loss_deviations(
    losses: NDArray[np.float64],
    strata: Strata,
    images: int,
    draws: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw deviations in nats of the mean loss of ``images`` test photos, ``[draws]``.

    They are from its expectation. Each draw takes the losses of as many known photos of the same
    confidence: their distribution has heavy tails, so the mean of a few is not normal. A stratum of
    n photos has not seen every loss that may occur, so once in n + 1 draws (Laplace's rule of
    succession) any known photo is drawn instead.
    """
    nearest = strata.shares.argmax(axis=1)
    everywhere = losses - losses.mean()
    by_stratum = [losses[nearest == knot] for knot in range(len(strata.test_shares))]
    # A stratum that is no photo's nearest has no losses of its own, and draws from all.
    own = [of - of.mean() if len(of) else everywhere for of in by_stratum]
    expected = np.cumsum(strata.test_shares) * images
    total = np.zeros(draws)
    for first in range(0, draws, max(1, _AT_A_TIME // images)):
        part = total[first : first + max(1, _AT_A_TIME // images)]
        # Systematic sampling: each stratum gets its share of the photos, rounded up or down.
        until = np.floor(expected + generator.random((len(part), 1)))
        until[:, -1] = images
        counts = np.diff(until, axis=1, prepend=0).astype(np.int64)
        for stratum, drawn in enumerate(counts.T):
            values = _drawn(own[stratum], everywhere, int(drawn.sum()), generator)
            part += np.bincount(np.repeat(np.arange(len(part)), drawn), values, len(part))
    return total / images


def _drawn(
    own: NDArray[np.float64],
    others: NDArray[np.float64],
    count: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw ``count`` values of ``own``, one in ``len(own) + 1`` of them from ``others`` instead."""
    chosen = generator.integers(len(own) + 1, size=count)
    elsewhere = np.flatnonzero(chosen == len(own))
    values = np.append(own, 0.0)[chosen]
    values[elsewhere] = others[generator.integers(len(others), size=len(elsewhere))]
    return values


def accuracy_interval(
    expected: NDArray[np.float64],
    known: int,
    images: int,
    level: float,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Bounds of a confidence interval for the accuracy on ``images`` test photos.

    ``expected`` ``[1 + draws]`` is the expected accuracy, followed by its bootstrap draws from
    ``known`` independent photos. The interval contains two others. One is of the accuracy of a test
    of that size, with the uncertainty of the expectation (the rule of succession keeps it from 0
    and 1). The other is Wilson's around the expectation, which has a width at 0 and 1, too.
    """
    likely = (known * expected[1:] + 1) / (known + 2)
    seen = generator.binomial(images, likely) / images
    low = float(np.quantile(seen, (1 - level) / 2, method="lower"))
    high = float(np.quantile(seen, (1 + level) / 2, method="higher"))
    worst, best = _wilson(float(expected[0]), images, level)
    return max(min(low, worst), 0.0), min(max(high, best), 1.0)


def _wilson(share: float, images: int, level: float) -> tuple[float, float]:
    """Wilson's interval of a share (Journal of the American Statistical Association, 1927)."""
    z = float(norm.ppf((1 + level) / 2))
    spread = z * np.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    middle, scale = share + z**2 / (2 * images), 1 + z**2 / images
    return float((middle - spread) / scale), float((middle + spread) / scale)

"""Stratification by confidence: reweights the known photos to the confidence of the test photos.

Each photo belongs to the two knots around its confidence, more to the nearer one. A rounding error
of a confidence therefore changes a mean by no more than such an error; with the bins of a histogram
the photo could fall into another bin.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

_KNOTS: Final = 10
_PHOTOS_PER_KNOT: Final = 20
#: The least distance of two knots: float32 holds a probability near one to 6e-8.
_RESOLUTION: Final = 1e-3


@dataclass(frozen=True)
class Strata:
    """Known photos stratified by confidence, and the distribution of the test photos.

    ``shares`` ``[photos, knots]`` is the share of each known photo at each knot; its rows sum to
    one. ``test_shares`` ``[knots]`` is the mean of the test photos' shares.
    """

    shares: NDArray[np.float64]
    test_shares: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: NDArray[np.floating], test: NDArray[np.floating]) -> Self:
        """Stratify the known photos' ``confidence`` ``[photos]``; ``test`` may have any shape."""
        count = int(np.clip(len(confidence) // _PHOTOS_PER_KNOT, 1, _KNOTS))
        wanted = np.quantile(confidence, (np.arange(count) + 0.5) / count)
        knots = np.unique(np.round(wanted / _RESOLUTION)) * _RESOLUTION
        return cls(_shares(confidence, knots), _shares(test.ravel(), knots).mean(axis=0))

    def means(self, values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of ``values`` ``[photos]`` at each knot, ``[draws, knots]``.

        ``times`` ``[draws, photos]`` holds how often each photo counts. A knot without photos gets
        the mean of all photos.
        """
        total, count = times @ (values[:, None] * self.shares), times @ self.shares
        everywhere = total.sum(axis=1, keepdims=True) / count.sum(axis=1, keepdims=True)
        return np.where(count > 0, total / np.where(count > 0, count, 1), everywhere)

    def reweighted(
        self, values: NDArray[np.float64], times: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The expected mean of ``values`` over the test photos, ``[draws]``."""
        return self.means(values, times) @ self.test_shares

    def smoothed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each known photo's value as predicted by its confidence alone, ``[photos]``."""
        return self.shares @ self.means(values, np.ones((1, len(values))))[0]


def _shares(confidence: NDArray[np.floating], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of each photo at each knot, ``[photos, knots]``."""
    return np.stack([np.interp(confidence, knots, own) for own in np.eye(len(knots))], axis=1)

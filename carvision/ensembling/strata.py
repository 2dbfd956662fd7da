"""Photos by confidence: what is known of the photos of one set, carried over to another set.

Each photo counts for the two knots around its confidence, more for the nearer one. A photo whose
confidence moves by a rounding error therefore moves no mean by more than such an error; in bins
with borders it could change sides.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

_KNOTS: Final = 10
_PHOTOS_PER_KNOT: Final = 20
#: Knots are at least this far apart: float32 holds a probability near one to 6e-8.
_RESOLUTION: Final = 1e-3


@dataclass(frozen=True)
class Strata:
    """Known photos, stratified by confidence, and how the test photos are spread over the strata.

    ``shares`` ``[photos, knots]`` says for how much a known photo counts at each knot; its rows sum
    to one. ``test_shares`` ``[knots]`` is the mean of the same over the test photos.
    """

    shares: NDArray[np.float64]
    test_shares: NDArray[np.float64]

    @classmethod
    def of(cls, confidence: NDArray[np.floating], test: NDArray[np.floating]) -> Self:
        """``confidence`` ``[photos]`` of the known photos, ``test`` of any shape."""
        count = int(np.clip(len(confidence) // _PHOTOS_PER_KNOT, 1, _KNOTS))
        wanted = np.quantile(confidence, (np.arange(count) + 0.5) / count)
        knots = np.unique(np.round(wanted / _RESOLUTION)) * _RESOLUTION
        return cls(_shares(confidence, knots), _shares(test.ravel(), knots).mean(axis=0))

    def means(self, values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of ``values`` ``[photos]`` at each knot, ``[draws, knots]``.

        ``times`` ``[draws, photos]`` says how often each photo counts. A knot without photos takes
        the mean of all.
        """
        total, count = times @ (values[:, None] * self.shares), times @ self.shares
        everywhere = total.sum(axis=1, keepdims=True) / count.sum(axis=1, keepdims=True)
        return np.where(count > 0, total / np.where(count > 0, count, 1), everywhere)

    def carried_over(
        self, values: NDArray[np.float64], times: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The mean of ``values`` to expect of the test photos, ``[draws]``."""
        return self.means(values, times) @ self.test_shares

    def smoothed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the confidence alone says of each known photo's value, ``[photos]``."""
        return self.shares @ self.means(values, np.ones((1, len(values))))[0]


def _shares(confidence: NDArray[np.floating], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """For how much each photo counts at each knot, ``[photos, knots]``."""
    return np.stack([np.interp(confidence, knots, own) for own in np.eye(len(knots))], axis=1)

"""Expected accuracy by average thresholded confidence (Garg et al., arXiv 2201.04234).

The threshold is chosen so that the share of known photos above it equals their accuracy. The share
of test photos above it is the expected accuracy on these.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

#: Cells of the histogram of confidence. A photo is divided between the two borders of its cell, so
#: that a rounding error changes its shares by no more than such an error.
_CELLS: Final = 1000
#: The borders from the highest on; no photo is above the first one.
_BORDERS: Final = np.append(1.0, np.linspace(1, 0, _CELLS + 1))


class ThresholdedConfidence:
    """Estimates an accuracy by the confidence of known photos, ``[photos]``, and of test photos."""

    def __init__(self, confidence: NDArray[np.floating], test: NDArray[np.floating]) -> None:
        self._confidence = confidence
        self._at_borders = _at_borders(confidence)
        test = test.ravel()
        self._test_above = _above(_at_borders(test), np.ones((1, len(test))))[0]

    def accuracy(
        self, correct: NDArray[np.float64], times: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The expected accuracy on the test photos, ``[draws]``.

        ``correct`` ``[photos]`` is 1 where a known photo's class was predicted; ``times``
        ``[draws, photos]`` holds how often each photo counts.
        """
        right = times @ correct / times.sum(axis=1)
        known = _above(self._at_borders, times)
        found = [
            np.interp(*each, self._test_above) for each in zip(right.tolist(), known, strict=True)
        ]
        return np.array(found)

    def is_above(self, correct: NDArray[np.float64]) -> NDArray[np.float64]:
        """1 for each known photo above the threshold, ``[photos]``."""
        known = _above(self._at_borders, np.ones((1, len(correct))))[0]
        threshold = np.interp(correct.mean(), known, _BORDERS)
        return np.asarray(self._confidence >= threshold, dtype=np.float64)


def _at_borders(confidence: NDArray[np.floating]) -> csr_array:
    """The share of each photo at each border from the highest on, ``[borders, photos]``."""
    scaled = (1 - np.clip(confidence.astype(np.float64), 0, 1)) * _CELLS
    cell = np.minimum(scaled.astype(np.int64), _CELLS - 1)
    photos = np.arange(len(confidence))
    values = np.concatenate([1 - (scaled - cell), scaled - cell])
    places = (np.concatenate([cell, cell + 1]), np.concatenate([photos, photos]))
    return csr_array((values, places), shape=(_CELLS + 1, len(confidence)))


def _above(at_borders: csr_array, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the photos above each of ``_BORDERS``, ``[draws, borders]``."""
    counted = (at_borders @ times.T).T.cumsum(axis=1)
    return np.pad(counted / times.sum(axis=1, keepdims=True), ((0, 0), (1, 0)))

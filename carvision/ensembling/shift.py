"""Distribution shift: whether the confidence differs between test and out-of-fold photos."""

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

#: A warning needs all three: with many photos any difference is significant, with few photos
#: every difference is large, and one that does not move the forecast does not matter.
_EFFECT: Final = 0.1
_P_VALUE: Final = 0.01
_MOVE: Final = 2.5
#: Decimals that confidences are rounded to: float32 holds a probability near one to 6e-8.
_DECIMALS: Final = 6


@dataclass(frozen=True)
class Shift:
    """The Kolmogorov-Smirnov test on the confidence out of fold and on the test photos.

    ``distance`` is the largest difference of the distribution functions, 0 to 1; the confidences
    are means. ``move`` is how far the difference moves the forecast, in standard errors.
    """

    distance: float
    p_value: float
    oof_confidence: float
    test_confidence: float
    move: float = np.inf

    @classmethod
    def between(
        cls, oof: NDArray[np.floating], test: NDArray[np.floating], move: float = np.inf
    ) -> "Shift":
        """Compare the confidence out of fold ``[photos]`` with the test's ``[folds, images]``.

        Each test photo counts once, by the folds in turn, as its predictions by several folds are
        not independent.
        """
        images = np.arange(test.shape[1])
        once = test[images % len(test), images]
        with warnings.catch_warnings():
            # SciPy warns when it computes the asymptotic p-value instead of the exact one.
            warnings.filterwarnings("ignore", "ks_2samp: Exact", RuntimeWarning)
            result = ks_2samp(np.round(oof, _DECIMALS), np.round(once, _DECIMALS))
        statistic, p_value = float(result.statistic), float(result.pvalue)
        return cls(statistic, p_value, float(oof.mean()), float(test.mean()), move)

    @property
    def warning(self) -> str | None:
        """A sentence for the user; None if there is no relevant shift."""
        if self.distance < _EFFECT or self.p_value > _P_VALUE or self.move < _MOVE:
            return None
        less = "less" if self.test_confidence < self.oof_confidence else "more"
        return (
            f"the test photos are unlike the training photos: one fold's models are {less} sure of "
            f"them ({self.test_confidence:.3f} on average, {self.oof_confidence:.3f} out of fold; "
            f"the distributions differ by up to {self.distance:.0%}). The forecast weighs the "
            "training photos by confidence to make up for it, and is less to be trusted"
        )

"""Whether the test photos look different to the ensemble than the out-of-fold ones did."""

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

#: All must be crossed: of many photos the least difference is significant, of few none is small,
#: and a difference that moves no forecast is no news.
_EFFECT: Final = 0.1
_P_VALUE: Final = 0.01
_MOVE: Final = 2.5
#: Decimals beyond which confidences are alike: float32 holds a probability near one to 6e-8.
_DECIMALS: Final = 6


@dataclass(frozen=True)
class Shift:
    """Kolmogorov and Smirnov's comparison of two samples of confidence.

    ``distance`` is the largest gap between the distributions, 0 to 1. ``move`` is how far it moves
    the forecast, in standard errors of that move.
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

        Each test photo counts once, by the folds in turn: several times the same photo are no
        independent observations.
        """
        images = np.arange(test.shape[1])
        once = test[images % len(test), images]
        with warnings.catch_warnings():
            # Where the exact p-value cannot be computed, SciPy takes the asymptotic one.
            warnings.filterwarnings("ignore", "ks_2samp: Exact", RuntimeWarning)
            result = ks_2samp(np.round(oof, _DECIMALS), np.round(once, _DECIMALS))
        statistic, p_value = float(result.statistic), float(result.pvalue)
        return cls(statistic, p_value, float(oof.mean()), float(test.mean()), move)

    @property
    def warning(self) -> str | None:
        """What to say of it; None where the photos look alike."""
        if self.distance < _EFFECT or self.p_value > _P_VALUE or self.move < _MOVE:
            return None
        less = "less" if self.test_confidence < self.oof_confidence else "more"
        return (
            f"the test photos are unlike the training photos: one fold's models are {less} sure of "
            f"them ({self.test_confidence:.3f} on average, {self.oof_confidence:.3f} out of fold; "
            f"the distributions differ by up to {self.distance:.0%}). The forecast weighs the "
            "training photos by confidence to make up for it, and is less to be trusted"
        )

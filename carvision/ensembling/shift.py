"""Whether the test photos look different to the ensemble than the out-of-fold ones did."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

#: Both must be crossed: of many photos the least difference is significant, of few none is small.
_EFFECT: Final = 0.1
_P_VALUE: Final = 0.01


@dataclass(frozen=True)
class Shift:
    """Kolmogorov and Smirnov's comparison of two samples of confidence.

    ``distance`` is the largest gap between the distributions, 0 to 1.
    """

    distance: float
    p_value: float
    oof_confidence: float
    test_confidence: float

    @classmethod
    def between(cls, oof: NDArray[np.floating], test: NDArray[np.floating]) -> "Shift":
        """Compare the confidence out of fold ``[photos]`` with the test's ``[folds, images]``.

        Each test photo counts once, by the folds in turn: several times the same photo are no
        independent observations.
        """
        images = np.arange(test.shape[1])
        once = test[images % len(test), images]
        result = ks_2samp(oof, once)
        return cls(
            float(result.statistic), float(result.pvalue), float(oof.mean()), float(test.mean())
        )

    @property
    def warning(self) -> str | None:
        """What to say of it; None where the photos look alike."""
        if self.distance < _EFFECT or self.p_value > _P_VALUE:
            return None
        less = "less" if self.test_confidence < self.oof_confidence else "more"
        return (
            f"the test photos are unlike the training photos: one fold's models are {less} sure of "
            f"them ({self.test_confidence:.3f} on average, {self.oof_confidence:.3f} out of fold; "
            f"the distributions differ by up to {self.distance:.0%}). The forecast weighs the "
            "training photos by confidence to make up for it, and is less to be trusted"
        )

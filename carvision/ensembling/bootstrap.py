"""The bootstrap confidence interval of a mean loss."""

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_DRAWS: Final = 2000


def bootstrap_interval(
    losses: NDArray[np.floating], groups: Sequence[Hashable], seed: int, level: float = 0.9
) -> tuple[float, float]:
    """Bounds of a confidence interval for the mean of ``losses``, ``[images]``.

    The percentile bootstrap (Efron and Tibshirani, 1993) with 2,000 draws of whole ``groups``,
    ``[images]``: copies of a photo are one observation, and drawing them independently would make
    the interval too narrow.
    """
    codes, names = pd.factorize(np.asarray(groups))
    sums = np.bincount(codes, weights=losses)
    sizes = np.bincount(codes).astype(np.float64)
    generator = np.random.default_rng(seed)
    means = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        times = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        means[draw] = (times @ sums) / (times @ sizes)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

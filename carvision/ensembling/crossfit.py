"""The parts that cross-fitting leaves out by turns, and the interval around a score."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Parts that photos are dealt into where there are too few folds.
_PARTS = 5
_DRAWS = 2000


def parts_of(index: pd.DataFrame, seed: int, least: int = 3) -> NDArray[np.int64]:
    """The part of each photo of ``index``: its fold, or with fewer than ``least`` a drawn one.

    A fold is what its members' weights were not fitted on, so it is the honest part. Members that
    were trained on one or two folds leave too few: their photos are then dealt into parts by
    group, so that copies of a photo stay together.
    """
    if index["fold"].nunique() >= least:
        return index["fold"].to_numpy(dtype=np.int64)
    groups, names = pd.factorize(index["group"])
    drawn = np.random.default_rng(seed).permutation(len(names)) % min(_PARTS, len(names))
    return drawn[groups].astype(np.int64)


def bootstrap_interval(
    losses: NDArray[np.floating], groups: Sequence[Hashable], seed: int, level: float = 0.9
) -> tuple[float, float]:
    """Bounds that the mean of ``losses`` lies between, by resampling whole groups.

    The percentile bootstrap (Efron and Tibshirani, 1993) of 2,000 draws. Copies of a photo are one
    observation: drawn apart they would make the interval too narrow.
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

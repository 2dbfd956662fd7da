"""The folds of cross-fitting: each photo is scored by weights that were fitted without its fold."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Folds that photos are dealt into where the training folds are too few.
_FOLDS: Final = 5


def assign_crossfit_folds(index: pd.DataFrame, seed: int, min_folds: int = 3) -> NDArray[np.int64]:
    """The cross-fitting fold of each photo of ``index``, ``[images]``.

    This is the photo's training fold, which no model that predicts it was trained on. Members that
    were trained on fewer than ``min_folds`` folds leave too few to hold one out: then the photos
    are dealt into five folds at random, by group, so that copies of a photo stay together.
    """
    if index["fold"].nunique() >= min_folds:
        return index["fold"].to_numpy(dtype=np.int64)
    groups, names = pd.factorize(index["group"])
    drawn = np.random.default_rng(seed).permutation(len(names)) % min(_FOLDS, len(names))
    return drawn[groups].astype(np.int64)

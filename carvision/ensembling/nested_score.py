"""The nested score of a tuned ensemble: the whole search, repeated without the photos it scores.

Nested cross-validation (Varma and Simon, BMC Bioinformatics 2006): the best value of a study is the
lowest of many, and so too low. Here each fold of the photos is scored by an ensemble that was
searched and fitted on the other folds alone.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.cross_fitting import assign_crossfit_folds

#: A search on some photos (``rows`` of the table and their cross-fitting folds, each ``[rows]``)
#: for a blend and its weights ``[candidates]``.
Search = Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Blend, NDArray[np.float64]]]


def nested_log_probabilities(
    scorer: Scorer,
    crossfit_folds: NDArray[np.int64],
    search: Search,
    seed: int,
    advance: Callable[[int], None] = lambda folds: None,
) -> NDArray[np.float32]:
    """Predictions of each photo by an ensemble that never saw its fold, ``[images, classes]``.

    The folds of ``crossfit_folds`` ``[images]`` are held out one by one; ``advance`` is called
    after each.
    ``seed`` deals the other photos into new folds where they are of a single one.
    """
    index = scorer.table.index
    found = np.empty((len(index), scorer.table.classes), np.float32)
    for fold in np.unique(crossfit_folds):
        held_out = np.flatnonzero(crossfit_folds == fold)
        rows = np.flatnonzero(crossfit_folds != fold)
        inner = crossfit_folds[rows]
        if len(np.unique(inner)) < 2:
            inner = assign_crossfit_folds(index.iloc[rows], seed)
        blend, weights = search(rows, inner)
        found[held_out] = scorer.log_probabilities(blend, weights, held_out)
        advance(1)
    return found

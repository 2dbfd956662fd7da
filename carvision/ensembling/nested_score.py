"""The honest score of a tuned ensemble: the whole search, repeated without the photos it scores.

Nested cross-validation (Varma and Simon, BMC Bioinformatics 2006): a study's best value is the best
of many, and flatters itself; each fold of the photos is scored by an ensemble that was searched and
fitted on the others alone.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from carvision.ensembling.blend import Scorer
from carvision.ensembling.blend_search import search
from carvision.ensembling.cross_fitting import assign_crossfit_folds


def nested_log_probabilities(
    scorer: Scorer,
    crossfit_folds: NDArray[np.int64],
    *,
    trials: int,
    seed: int,
    budget: float | None = None,
    advance: Callable[[int], None] = lambda crossfit_folds: None,
) -> NDArray[np.float32]:
    """Each photo's prediction by an ensemble that never saw its fold, ``[images, classes]``.

    ``trials`` is of each fold's search: fewer than the search that is judged has, for time's sake.
    """
    index = scorer.table.index
    found = np.empty((len(index), scorer.table.classes), np.float32)
    for fold in np.unique(crossfit_folds):
        rows, held_out = (
            np.flatnonzero(crossfit_folds != fold),
            np.flatnonzero(crossfit_folds == fold),
        )
        inner = crossfit_folds[rows]
        if len(np.unique(inner)) < 2:
            inner = assign_crossfit_folds(index.iloc[rows], seed)
        best = search(scorer, rows, inner, trials=trials, seed=seed, budget=budget)
        weights = scorer.weights(best.blend, rows)
        found[held_out] = scorer.log_probabilities(best.blend, weights, held_out)
        advance(1)
    return found

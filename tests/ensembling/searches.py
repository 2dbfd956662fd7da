"""Searches for blends, as the tests of ensembling run them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.blend_search import BlendProblem
from carvision.ensembling.nested_score import nested_log_probabilities
from carvision.ensembling.study import StudyRequest, StudyResult, minimise
from carvision.metrics import log_loss_of_true_class
from tests.ensembling.conftest import everything, folds_of


def searched(
    scorer: Scorer, trials: int = 20, budget: float | None = None, **options: Any
) -> StudyResult[Blend]:
    """The best blend of a study on all photos."""
    problem = BlendProblem(scorer, everything(scorer), folds_of(scorer.table), budget)
    return minimise(problem, StudyRequest(trials, **({"seed": 0} | options)))


def nested_log_p(
    scorer: Scorer, crossfit_folds: NDArray[np.int64], trials: int, budget: float | None = None
) -> NDArray[np.floating]:
    """The nested log-probability of each truth, ``[images]``."""

    def search(
        rows: NDArray[np.int64], folds: NDArray[np.int64]
    ) -> tuple[Blend, NDArray[np.float64]]:
        problem = BlendProblem(scorer, rows, folds, budget)
        blend = minimise(problem, StudyRequest(trials, seed=0)).best
        return blend, scorer.weights(blend, rows)

    log_p = nested_log_probabilities(scorer, crossfit_folds, search, seed=0)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-4)
    return log_p[everything(scorer), scorer.table.targets]


def cross_fitted_loss(scorer: Scorer, blend: Blend) -> float:
    """A blend's cross-fitted log loss on all photos."""
    log_p = scorer.cross_fitted(blend, everything(scorer), folds_of(scorer.table))
    return log_loss_of_true_class(log_p)

"""Scorers, searches and expected values that the tests of ensembling share."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from carvision.ensembling.blend import Scorer
from carvision.ensembling.cross_fitting import assign_crossfit_folds
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.study import StudyResult
from carvision.ensembling.temperature_grid import TemperatureGrid
from carvision.metrics import MIN_PROBABILITY
from tests.ensembling.synthetic import SyntheticMembers
from tests.ensembling.weight_study import WeightStudy


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    """Two members, three views, one of them of no use."""
    return scorer_of(SyntheticMembers(costs=(2.0, 3.0)).table())


#: A problem of weights after 60 trials, and the best values that were reported meanwhile.
Solved = tuple[WeightStudy, StudyResult[NDArray[np.float64]], list[float]]


@pytest.fixture
def problem(tmp_path: Path) -> WeightStudy:
    return WeightStudy.within(tmp_path)


@pytest.fixture(scope="session")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Solved:
    problem = WeightStudy.within(tmp_path_factory.mktemp("solved"))
    reported: list[float] = []
    return problem, problem.tune(60, on_trial=reported.append), reported


def with_a_zero(table: OofTable) -> OofTable:
    """The same with a probability of zero on a true class, in every view of the first member."""
    first = table.members[0]
    part = first.fold_predictions[0]
    log_p = part.log_probabilities.copy()
    log_p[:, 0, part.index["class_index"][0]] = -np.inf
    parts = (replace(part, log_probabilities=log_p), *first.fold_predictions[1:])
    return OofTable.of(table.index, [replace(first, fold_predictions=parts), *table.members[1:]])


def scorer_of(table: OofTable) -> Scorer:
    return Scorer(table, TemperatureGrid.of(table))


def everything(scorer: Scorer) -> NDArray[np.int64]:
    return np.arange(len(scorer.table.index))


def folds_of(table: OofTable) -> NDArray[np.int64]:
    """The cross-fitting folds of its photos."""
    return assign_crossfit_folds(table.index, seed=0)


def mixed_by_formula(
    log_q: NDArray[np.floating],
    weights: NDArray[np.float64],
    temperatures: NDArray[np.float64],
    mixing: str,
) -> NDArray[np.float64]:
    """The probabilities ``[images, classes]`` of a mixture, in numbers of a far wider range.

    ``log_q`` is ``[candidates, folds, images, classes]``; the others are ``[candidates]``.
    """
    powers = np.exp(log_q.astype(np.longdouble) / temperatures[:, None, None, None])
    p = (powers / powers.sum(axis=-1, keepdims=True)).mean(axis=1)
    if mixing == "arithmetic":
        mixed = np.tensordot(weights, p, axes=1)
    else:
        mixed = np.prod(np.maximum(p, MIN_PROBABILITY) ** weights[:, None, None], axis=0)
    return (mixed / mixed.sum(axis=-1, keepdims=True)).astype(np.float64)

"""Members whose out-of-fold predictions are made up, so that what is right about them is known."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax

from carvision.contracts import VIEWS, Predictions
from carvision.ensembling.blend import Scorer
from carvision.ensembling.cross_fitting import assign_crossfit_folds
from carvision.ensembling.oof_predictions import MemberOof, OofTable
from carvision.ensembling.study import StudyResult
from carvision.ensembling.temperature_grid import TemperatureGrid
from carvision.metrics import MIN_PROBABILITY
from tests.ensembling.weight_study import WeightStudy

MakeTable = Callable[..., OofTable]


def made_up_table(
    photos: int = 400,
    classes: int = 6,
    folds: int = 5,
    *,
    skills: Sequence[float] = (3.0, 2.5),
    views: Sequence[str] = ("original", "hflip", "vflip"),
    view_shift: Sequence[float] = (0.0, 0.0, -4.0),
    temperatures: Sequence[float] | None = None,
    costs: Sequence[float | None] | None = None,
    seed: int = 0,
) -> OofTable:
    """Members that are sure of different photos; a view of a negative shift is of no use.

    A member's log-probabilities are calibrated by construction (the logits of a known posterior
    shape), then multiplied by its temperature: dividing by it mends them.
    """
    generator = np.random.default_rng(seed)
    targets = generator.integers(0, classes, photos)
    index = pd.DataFrame(
        {
            "image_id": [f"train/{i:05d}.jpg" for i in range(photos)],
            "class_index": targets,
            "fold": np.arange(photos) % folds + 1,
            "group": [f"g{i}" for i in range(photos)],
        }
    ).sort_values("fold", kind="stable", ignore_index=True)
    targets = index["class_index"].to_numpy()
    members = []
    for k, skill in enumerate(skills):
        own = generator.normal(0, 1, (photos, classes))
        log_p = np.empty((len(views), photos, classes), np.float32)
        for v, shift in enumerate(view_shift):
            # Two classes one apart by s in a normal of variance s have the likelihood ratio as
            # their difference: s * onehot + sqrt(s) * noise are calibrated logits.
            s = max(0.05, skill + shift)
            noise = 0.8 * own + 0.6 * generator.normal(0, 1, (photos, classes))
            logits = np.sqrt(s) * noise
            logits[np.arange(photos), targets] += s
            logits *= 1.0 if temperatures is None else temperatures[k]
            log_p[v] = log_softmax(logits, axis=1)
        parts = []
        for fold in range(1, folds + 1):
            rows = np.flatnonzero(index["fold"] == fold)
            # Stored in another order than the table's.
            rows = generator.permutation(rows)
            stored = index.iloc[rows][["image_id", "class_index", "fold"]].reset_index(drop=True)
            parts.append(Predictions(stored, tuple(views), log_p[:, rows]))
        cost = None if costs is None else costs[k]
        members.append(MemberOof(f"m{k}", tuple(parts), 20.0 - 5 * k, cost))
    return OofTable.of(index, members)


@pytest.fixture(scope="session")
def make_table() -> MakeTable:
    assert {"original", "hflip", "vflip"} <= set(VIEWS)
    return made_up_table


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    """Two members, three views, one of them of no use."""
    return scorer_of(made_up_table(costs=(2.0, 3.0)))


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

"""Tuning at the competition's size, beside what is usually done: raw weights by TPE.

The predictions are synthetic: members that are confident of different photos, with two useful
views and three useless ones. They are as many and as large as the competition's, and are stored on
disk like real ones.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from carvision.benchmarks.rows import Row
from carvision.contracts import VIEWS, Predictions, read_predictions, write_predictions
from carvision.ensembling.blend import Scorer
from carvision.ensembling.blend_search import BlendProblem
from carvision.ensembling.cross_fitting import assign_crossfit_folds
from carvision.ensembling.exact import exact_weights
from carvision.ensembling.oof_predictions import MemberOof, OofTable
from carvision.ensembling.study import StudyRequest, minimise, objective_of
from carvision.ensembling.temperature_grid import TemperatureGrid
from carvision.ensembling.weight_search import WeightProblem
from carvision.metrics import log_loss_of_true_class
from carvision.optuna_storage import open_study

_FOLDS: Final = 5
#: What is added to the true class's logit in each view.
_VIEW_SHIFTS: Final = (0.0, 0.0, -4.0, -4.0, -5.0)
_RIVAL: Final = "TPE over raw weights"


@dataclass(frozen=True)
class Size:
    """The size of the problem; the default is the competition's, with the plan's backbones."""

    photos: int = 33_137
    classes: int = 396
    members: int = 7
    trials: int = 200


def ensembling_rows(
    work: Path, size: Size = Size(), progress: Callable[[str], None] = lambda step: None
) -> list[Row]:
    """Measure each step; the rival searches for as long as the study took."""
    progress("making up predictions")
    index, members = _synthetic_members(work, size)
    progress("reading the true class")
    table, seconds, memory = _read(index, members)
    what = f"{size.members} members x {len(VIEWS)} views"
    rows = [
        Row.within(f"true class of {what}, read", seconds, "s", 60.0),
        Row.within("the same, memory", memory, "GiB", 1.0),
    ]
    true_class = np.exp(table.log_true_class)
    started = time.perf_counter()
    exact = exact_weights(true_class)
    rows.append(Row.within("exact weights", time.perf_counter() - started, "s", 1.0))
    rows.append(Row.within("exact weights, duality gap", exact.gap, "nats", 1e-8))
    progress("tuning")
    started = time.perf_counter()
    scorer = Scorer(table, TemperatureGrid.of(table))
    everything = np.arange(size.photos)
    problem = BlendProblem(scorer, everything, assign_crossfit_folds(index, seed=0))
    # In a file, as users' studies are: in memory a trial takes much less time.
    request = StudyRequest(size.trials, seed=0, storage=f"sqlite:///{work / 'optuna.db'}")
    found = minimise(problem, request)
    seconds = time.perf_counter() - started
    rows.append(Row.within(f"{size.trials} trials", seconds, "s", 120.0))
    progress(f"the rival, for {seconds:.0f} s")
    rival_loss, rival_trials = _rival(table, seconds)
    rows.append(Row.against("a trial", seconds / found.trials, "s", _RIVAL, seconds / rival_trials))
    fitted = log_loss_of_true_class(scorer.fitted(found.best, everything))
    for name, value in (("exact weights", exact.log_loss), ("study", fitted)):
        title = f"fitted log loss, {name}"
        rows.append(Row.against(title, value, "nats", _RIVAL, rival_loss, target=1.0))
    return rows


def _synthetic_members(work: Path, size: Size) -> tuple[pd.DataFrame, list[MemberOof]]:
    """The photos' index, and members whose predictions are stored in ``work``."""
    generator = np.random.default_rng(0)
    index = pd.DataFrame(
        {
            "image_id": [f"{i:06d}.jpg" for i in range(size.photos)],
            "class_index": generator.integers(0, size.classes, size.photos),
            "fold": np.arange(size.photos) * _FOLDS // size.photos + 1,
            "group": [f"g{i}" for i in range(size.photos)],
        }
    )
    easy = generator.normal(0, 3, size.photos)
    members = []
    for k in range(size.members):
        skill = 9 + easy + generator.normal(0, 2, size.photos)
        by_fold = []
        for fold in range(1, _FOLDS + 1):
            chosen = (index["fold"] == fold).to_numpy()
            own = index[chosen].reset_index(drop=True)
            log_p = _log_probabilities(own, skill[chosen], size.classes, 1 + 0.1 * k, generator)
            folder = work / f"member{k}-fold{fold}"
            write_predictions(folder, Predictions(own, VIEWS, log_p))
            by_fold.append(read_predictions(folder))
        members.append(MemberOof(f"member{k}", tuple(by_fold), 10.0, 1.0))
    return index, members


def _log_probabilities(
    index: pd.DataFrame,
    skill: NDArray[np.float64],
    classes: int,
    sharpness: float,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    shape = (len(VIEWS), len(index), classes)
    logits = 2 * generator.standard_normal(shape, dtype=np.float32)
    rows = np.arange(len(index))
    for view, shift in enumerate(_VIEW_SHIFTS):
        logits[view, rows, index["class_index"]] += (skill + shift).astype(np.float32)
    logits *= np.float32(sharpness)
    logits -= logits.max(axis=2, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return logits


def _read(index: pd.DataFrame, members: list[MemberOof]) -> tuple[OofTable, float, float]:
    """Read the true class; the table, the seconds, and the peak of allocated memory in GiB.

    The system's cache of the files is not counted, as it is released on demand.
    """
    tracemalloc.start()
    started = time.perf_counter()
    table = OofTable.of(index, members)
    seconds = time.perf_counter() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return table, seconds, peak / 2**30


def _rival(table: OofTable, seconds: float) -> tuple[float, int]:
    """The best log loss of raw weights by TPE within ``seconds``, and the number of trials.

    The log loss is computed as it is usually written: all predictions in memory, averaged, and
    scikit-learn's function.
    """
    everything = np.arange(len(table.index))
    every = range(len(table.candidates))
    probabilities = np.stack([np.exp(table.read(k, everything)) for k in every])
    labels = np.arange(table.classes)

    def whole_log_loss(weights: NDArray[np.float64]) -> float:
        mixed = np.tensordot(weights.astype(np.float32), probabilities, axes=1)
        mixed /= mixed.sum(axis=1, keepdims=True)
        return float(log_loss(table.targets, mixed, labels=labels))

    member_weights = {member.name: member.plan_weight for member in table.members}
    objective = objective_of(WeightProblem(table.candidates, member_weights, whole_log_loss))
    study = open_study("rival", None, seed=0)
    # At least one trial, however little time there is.
    study.optimize(objective, n_trials=1)
    study.optimize(objective, timeout=seconds)
    return study.best_value, len(study.trials)

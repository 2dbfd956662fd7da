"""Tuning at the competition's size, beside what is usually done: raw weights by TPE.

Predictions are made up: members that are sure of different photos, two useful views and three of
no use. Their number and size are the competition's, and they lie on disk as real ones do.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import log_loss

from carvision.benchmarks.rows import Row
from carvision.contracts import VIEWS, Predictions, read_predictions, write_predictions
from carvision.ensembling.blend import Scorer
from carvision.ensembling.blend_search import search
from carvision.ensembling.cross_fitting import assign_crossfit_folds
from carvision.ensembling.exact import exact_weights
from carvision.ensembling.mix import normalised
from carvision.ensembling.oof_predictions import MemberOof, OofTable
from carvision.ensembling.temperature_grid import TemperatureGrid
from carvision.metrics import log_loss_of_true_class
from carvision.optuna_storage import open_study

_FOLDS: Final = 5
_USEFUL: Final = (0.0, 0.0, -4.0, -4.0, -5.0)
_RIVAL: Final = "TPE over raw weights"


@dataclass(frozen=True)
class Size:
    """How large the problem is; the default is the competition with the plan's backbones."""

    photos: int = 33_137
    classes: int = 396
    members: int = 7
    trials: int = 200


def ensembling_rows(
    work: Path, size: Size = Size(), progress: Callable[[str], None] = lambda step: None
) -> list[Row]:
    """Measure each step; the rival searches for as long as the study took."""
    progress("making up predictions")
    index, members = _made_up(work, size)
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
    # In a file, as users' studies are: in memory a trial costs much less.
    storage = f"sqlite:///{work / 'optuna.db'}"
    parts = assign_crossfit_folds(index, 0)
    found = search(scorer, everything, parts, trials=size.trials, seed=0, storage=storage)
    seconds = time.perf_counter() - started
    rows.append(Row.within(f"{size.trials} trials", seconds, "s", 120.0))
    progress(f"the rival, for {seconds:.0f} s")
    rival_loss, rival_trials = _rival(table, seconds)
    rows.append(
        Row.less_is_better("a trial", seconds / found.trials, "s", _RIVAL, seconds / rival_trials)
    )
    fitted = log_loss_of_true_class(scorer.fitted(found.blend, everything))
    for name, value in (("exact weights", exact.log_loss), ("study", fitted)):
        title = f"fitted log loss, {name}"
        rows.append(Row.less_is_better(title, value, "nats", _RIVAL, rival_loss, target=1.0))
    return rows


def _made_up(work: Path, size: Size) -> tuple[pd.DataFrame, list[MemberOof]]:
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
        parts = []
        for fold in range(1, _FOLDS + 1):
            chosen = (index["fold"] == fold).to_numpy()
            own = index[chosen].reset_index(drop=True)
            log_p = _log_probabilities(own, skill[chosen], size.classes, 1 + 0.1 * k, generator)
            folder = work / f"member{k}-fold{fold}"
            write_predictions(folder, Predictions(own, VIEWS, log_p))
            parts.append(read_predictions(folder))
        members.append(MemberOof(f"member{k}", tuple(parts), 10.0, 1.0))
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
    for view, shift in enumerate(_USEFUL):
        logits[view, rows, index["class_index"]] += (skill + shift).astype(np.float32)
    logits *= np.float32(sharpness)
    logits -= logits.max(axis=2, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return logits


def _read(index: pd.DataFrame, members: list[MemberOof]) -> tuple[OofTable, float, float]:
    """The table with its true class read, the seconds, and the GiB that were allocated at most.

    What the system keeps of the files in its cache is not counted: it is given back when asked for.
    """
    tracemalloc.start()
    started = time.perf_counter()
    table = OofTable.of(index, members)
    seconds = time.perf_counter() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return table, seconds, peak / 2**30


def _rival(table: OofTable, seconds: float) -> tuple[float, int]:
    """The best log loss of raw weights by TPE within ``seconds``, and how many it tried.

    As it is usually written: all predictions in memory, averaged, and scikit-learn's log loss.
    """
    everything = np.arange(len(table.index))
    every = range(len(table.candidates))
    probabilities = np.stack([np.exp(table.read(k, everything)) for k in every])
    labels = np.arange(table.classes)

    def objective(trial: optuna.Trial) -> float:
        weights = normalised(np.array([trial.suggest_float(str(k), 0, 1) for k in every]))
        mixed = np.tensordot(weights.astype(np.float32), probabilities, axes=1)
        mixed /= mixed.sum(axis=1, keepdims=True)
        return float(log_loss(table.targets, mixed, labels=labels))

    study = open_study("rival", None, seed=0)
    # At least one trial, however little time there is.
    study.optimize(objective, n_trials=1)
    study.optimize(objective, timeout=seconds)
    return study.best_value, len(study.trials)

"""Fold sets: the folds of one backbone, trained with one configuration on one data set.

The set's name is made of everything that changes the result, so folds that were trained on
different days or machines find each other in the tracking store.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mlflow.entities import Run

from carvision.config import Config
from carvision.contracts import (
    TrueClass,
    concatenated,
    read_true_class,
)
from carvision.tracking.store import FOLD, SET, fetch, find_runs

STAGE_FOLD: Final = "fold"
#: Where a fold's run keeps them.
WEIGHTS: Final = "checkpoint"
PREDICTIONS: Final = "predictions"


def set_name(config: Config, fingerprint: str, cache_side: int | None) -> str:
    """The identity of a fold set.

    ``cache_side`` is the side of the cached photos that training reads, if it does: a photo that
    was resized twice has other last bits.
    """
    settings = config.result_settings() | {"cache_side": cache_side}
    if config.model.weights is not None:
        # What is in the file counts, not what it is called.
        with config.model.weights.open("rb") as file:
            settings["model"]["weights"] = hashlib.file_digest(file, "sha256").hexdigest()
    content = json.dumps(settings | {"fingerprint": fingerprint}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def finished_folds(name: str) -> dict[int, Run]:
    """The newest finished run of each fold of a set."""
    runs: dict[int, Run] = {}
    for run in find_runs(STAGE_FOLD, {SET: name}):
        runs.setdefault(int(run.data.tags[FOLD]), run)
    return dict(sorted(runs.items()))


def fetch_weights(runs: Mapping[int, Run], into: Path) -> dict[int, Path]:
    """Download each fold's best weights."""
    paths = {}
    for fold, run in runs.items():
        folder = into / f"fold{fold}"
        folder.mkdir()
        paths[fold] = fetch(run.info.run_id, f"{WEIGHTS}/best.safetensors", folder)
    return paths


def fetch_true_class(run_ids: Sequence[str], into: Path) -> TrueClass:
    """Download and join what a log loss needs of a set's out-of-fold predictions.

    That is megabytes; the predictions as a whole are hundreds of them.

    Raises:
        PredictionsError: a run's predictions are damaged, or do not fit the others.
    """
    parts = []
    for run_id in run_ids:
        folder = _own_folder(into, run_id)
        for name in ("index.parquet", "views.json", "true_class.npy"):
            fetch(run_id, f"{PREDICTIONS}/{name}", folder)
        parts.append(read_true_class(folder))
    return concatenated(parts)


def _own_folder(into: Path, run_id: str) -> Path:
    folder = into / run_id
    folder.mkdir(parents=True)
    return folder

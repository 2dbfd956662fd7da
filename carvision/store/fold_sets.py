"""The folds of fold sets, as the tracking store keeps them: their runs, metrics and files.

A fold set is one backbone's folds, trained with one configuration on one data set. Its identity
(:attr:`carvision.training.job.FoldJob.set_id`) is a tag of each fold's run, so folds that were
trained on different days or machines find each other.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from mlflow.entities import Run
from numpy.typing import NDArray

from carvision.contracts import (
    Predictions,
    TrueClass,
    concatenated,
    read_predictions,
    read_true_class,
)
from carvision.contracts.checksums import SUMS, damage, files_below
from carvision.errors import PredictionsError, WeightsError
from carvision.store.artifacts import fetch, has_artifact
from carvision.store.client import client
from carvision.store.runs import find_runs
from carvision.store.tags import DATA, FOLD, MODEL, SET, STUDY
from carvision.training import FoldResult
from carvision.training.job import FoldJob

log = logging.getLogger(__name__)

STAGE_FOLD: Final = "fold"
#: Folders of the artifacts of a fold's run, and a file among the predictions.
WEIGHTS: Final = "checkpoint"
PREDICTIONS: Final = "predictions"
EPOCHS: Final = "epochs.npy"
#: The files without which predictions cannot be read.
_READ: Final = tuple(
    f"{PREDICTIONS}/{name}" for name in ("index.parquet", "views.json", "log_probabilities.npy")
)
#: The files that a fold needs to be a part of a registered version.
_NEEDED: Final = (f"{WEIGHTS}/best.safetensors", f"{PREDICTIONS}/true_class.npy", *_READ)
BATCH_SIZE: Final = "train/batch_size"
_SECONDS = "predict/seconds_per_1000"


def fold_set_tags(job: FoldJob) -> dict[str, str]:
    """The tags by which the runs of a job's fold set are found."""
    tags = {MODEL: job.config.name, SET: job.set_id, DATA: job.manifest.fingerprint}
    return tags | ({STUDY: job.study} if job.study else {})


def fold_tags(job: FoldJob) -> dict[str, str]:
    """The tags by which the runs of a job's fold are found."""
    return fold_set_tags(job) | {FOLD: str(job.fold)}


def best_metrics(result: FoldResult) -> dict[str, float]:
    """A finished fold's metrics, by their names in its run."""
    best = {name.replace("val/", "best/val_"): value for name, value in result.metrics.items()}
    which = {"best/epoch": float(result.best_epoch), "best/averaged": float(result.averaged)}
    return best | which | {BATCH_SIZE: float(result.batch_size)} | result.measured


def finished_folds(set_id: str, stage: str = STAGE_FOLD) -> dict[int, Run]:
    """The newest finished run of each fold of a set."""
    runs: dict[int, Run] = {}
    for fold, run in _fold_runs(set_id, stage):
        runs.setdefault(fold, run)
    return dict(sorted(runs.items()))


def usable_folds(set_id: str) -> dict[int, Run]:
    """The newest finished run of each fold of a set that still has its weights and predictions.

    One whose files were removed counts as not trained; a warning names it.
    """
    runs: dict[int, Run] = {}
    for fold, run in _fold_runs(set_id, STAGE_FOLD):
        if fold in runs:
            continue
        gone = [path for path in _NEEDED if not has_artifact(run.info.run_id, path)]
        if gone:
            which = (run.info.run_name, run.info.run_id, " and ".join(gone))
            log.warning("%s was finished in run %s, which has no %s any more", *which)
        else:
            runs[fold] = run
    return dict(sorted(runs.items()))


def _fold_runs(set_id: str, stage: str) -> Iterator[tuple[int, Run]]:
    """Each fold and a finished run of it, the newest first; a warning names runs without a fold."""
    for run in find_runs(stage, {SET: set_id}):
        fold = run.data.tags.get(FOLD, "")
        if fold.isdecimal() and int(fold) >= 1:
            yield int(fold), run
        else:
            log.warning("run %s is passed over: its tag %s is %r", run.info.run_id, FOLD, fold)


def batch_size_of(set_id: str) -> int | None:
    """The batch size of a set's newest finished fold; None if it has no finished fold."""
    sizes = {
        run.info.start_time: int(run.data.metrics[BATCH_SIZE])
        for run in finished_folds(set_id).values()
        if BATCH_SIZE in run.data.metrics
    }
    return sizes[max(sizes)] if sizes else None


def fetch_weights(runs: Mapping[int, Run], into: Path) -> dict[int, Path]:
    """Fetch each fold's best weights; return their paths by fold.

    Raises:
        WeightsError: a file was changed since it was logged.
    """
    paths = {}
    for fold, run in runs.items():
        folder = into / f"fold{fold}"
        folder.mkdir()
        name = f"{WEIGHTS}/best.safetensors"
        paths[fold] = fetch(run.info.run_id, name, folder)
        if (wrong := _damage(run, {name: paths[fold]})) is not None:
            raise WeightsError(wrong)
    return paths


def _damage(run: Run, files: Mapping[str, Path]) -> str | None:
    """Which of a fold's files was changed; None also if it was logged without sums."""
    stored = run.data.tags.get(SUMS)
    wrong = None if stored is None else damage(files, stored)
    if wrong is None:
        return None
    return (
        f"run {run.info.run_id} ({run.info.run_name}): {wrong}. Bring the file back from a copy, "
        "or delete the run and train the fold again"
    )


def _refuse_damaged_predictions(run_id: str, folder: Path) -> None:
    files = {f"{PREDICTIONS}/{name}": path for name, path in files_below(folder).items()}
    if (wrong := _damage(client().get_run(run_id), files)) is not None:
        raise PredictionsError(wrong)


def fetch_true_class(run_ids: Sequence[str], into: Path) -> TrueClass:
    """Fetch and join the true classes' log-probabilities of a set's out-of-fold predictions.

    They are megabytes; the predictions as a whole are hundreds of megabytes.

    Raises:
        PredictionsError: a run's predictions are damaged, or do not fit the others.
    """
    parts = []
    for run_id in run_ids:
        folder = _own_folder(into, run_id)
        for name in ("index.parquet", "views.json", "true_class.npy"):
            fetch(run_id, f"{PREDICTIONS}/{name}", folder)
        _refuse_damaged_predictions(run_id, folder)
        parts.append(read_true_class(folder))
    return concatenated(parts)


def fetch_epochs(run_id: str, into: Path) -> NDArray[np.float32] | None:
    """Fetch the true classes' log-probabilities at the end of each epoch, ``[epochs, images]``.

    They are of the original view, with images as in the fold's predictions. None for runs of
    earlier versions, which did not log them.

    Raises:
        PredictionsError: the file was changed since it was logged.
    """
    name = f"{PREDICTIONS}/{EPOCHS}"
    if name not in {file.path for file in client().list_artifacts(run_id, PREDICTIONS)}:
        return None
    path = fetch(run_id, name, _own_folder(into, run_id))
    if (wrong := _damage(client().get_run(run_id), {name: path})) is not None:
        raise PredictionsError(wrong)
    return np.load(path)


def _own_folder(into: Path, run_id: str) -> Path:
    folder = into / run_id
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch_predictions(run_ids: Sequence[str], into: Path) -> list[Predictions]:
    """Fetch each fold's out-of-fold predictions below ``into``; arrays are memory-mapped.

    Raises:
        PredictionsError: a run's predictions are damaged, or are removed while they are read.
    """
    parts = []
    for run_id in run_ids:
        try:
            folder = fetch(run_id, PREDICTIONS, _own_folder(into, run_id))
            _refuse_damaged_predictions(run_id, folder)
            parts.append(read_predictions(folder))
        except OSError as error:
            raise PredictionsError(
                f"the predictions of run {run_id} cannot be read: {error}. Bring the files back "
                "from a copy, or delete the run and train the fold again"
            ) from error
    return parts


def has_predictions(run_id: str) -> bool:
    """Whether a run still has the files without which its predictions cannot be read."""
    return all(has_artifact(run_id, name) for name in _READ)


def seconds_per_1000(run_ids: Sequence[str]) -> float | None:
    """Seconds to predict 1,000 photos in one view by all these folds; None if one is not known."""
    each = [client().get_run(run_id).data.metrics.get(_SECONDS) for run_id in run_ids]
    known = [seconds for seconds in each if seconds is not None]
    return sum(known) if len(known) == len(each) else None

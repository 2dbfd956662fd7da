"""Every path, lock and database below the project's folder that is not MLflow's.

Paths are relative to the project's folder, where every command runs. The files of one fold, in
``work/folds/<set>/fold<k>/``, are named where they are written: ``events.jsonl`` in
:mod:`carvision.tracking.event_log`, ``sent.json`` and ``finished/`` in
:mod:`carvision.tracking.outbox`, ``settings.json`` in :mod:`carvision.pipelines.train.begun_folds`,
``step*.pt`` in :mod:`carvision.training.checkpoint`, and ``best-epoch*`` in
:mod:`carvision.training.best_checkpoint`.
"""

from pathlib import Path
from typing import Final

WORK: Final = Path("work")
#: Zip archives of photos, unpacked.
ARCHIVES: Final = WORK / "archives"
#: Notes of processes that work at a run which ``mlflow run`` opened.
BEGUN: Final = WORK / "begun"
#: Resized photos.
CACHES: Final = WORK / "cache"
#: Folds that MLflow does not have yet: checkpoints, event logs, results.
FOLDS: Final = WORK / "folds"
LOCKS: Final = WORK / "locks"
#: Results of steps that MLflow does not have yet.
OUTBOX: Final = WORK / "outbox"
#: The embedded sample data, written as photos.
SAMPLE: Final = WORK / "sample"
#: What earlier scans of photos found.
SCANS: Final = WORK / "scans"
#: Temporary folders.
SCRATCH: Final = WORK / "scratch"
TENSORBOARD: Final = WORK / "tensorboard"
WANDB: Final = WORK / "wandb"

STUDIES: Final = Path("optuna.db")
#: The address of the Optuna studies. MLflow's database is another file: both keep alembic tables,
#: and neither opens the other's.
STUDY_STORAGE: Final = f"sqlite:///{STUDIES}"


def fold_lock(folder: Path) -> Path:
    """The lock of a fold's folder."""
    return LOCKS / f"{folder.parent.name}-{folder.name}"


def results_lock(run_id: str) -> Path:
    """The lock of the results of a step, in :data:`OUTBOX`."""
    return LOCKS / f"outbox-{run_id}"


def database_backup(database: Path) -> Path:
    """The copy of a database from before its places were changed."""
    return WORK / f"before-move-{database.name}"


def study_lock(name: str) -> Path:
    """The lock of an Optuna study."""
    return LOCKS / name


def registration_lock(model: str) -> Path:
    """The lock around the registration of a model's versions."""
    return LOCKS / f"register-{model}"


def database_lock(database: Path) -> Path:
    """The lock of a database of this folder."""
    return LOCKS / database.name

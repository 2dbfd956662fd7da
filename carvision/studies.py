"""Optuna studies in a file of their own, which go on after an interruption.

The file is not MLflow's database: both keep alembic tables, and neither opens the other's.
"""

import logging
import sqlite3
from typing import Any, Final

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

STORAGE: Final = "sqlite:///optuna.db"

optuna.logging.set_verbosity(optuna.logging.WARNING)
log = logging.getLogger(__name__)


def open_study(
    name: str, storage: str | None, seed: int, *, startup_trials: int = 10
) -> optuna.Study:
    """The study of this name, new or as it was left: TPE, towards the lowest value.

    ``startup_trials`` are drawn at random before TPE has seen enough. ``storage`` is the address of
    an SQLite file; without one the study lives in memory.
    """
    study = optuna.create_study(
        study_name=name,
        storage=None if storage is None else _file_storage(storage),
        direction="minimize",
        load_if_exists=True,
    )
    # The same seed again would draw the same first points again.
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(study.trials), n_startup_trials=startup_trials
    )
    return study


class _WriteAhead(sqlite3.Connection):
    """A connection whose transactions do not wait for the disk.

    Each parameter of a trial is a transaction, and each waited for an fsync. With a log that is
    written ahead (https://www.sqlite.org/wal.html) a killed process still loses nothing; a power
    failure may lose the last trials, and never damages the file.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def _file_storage(address: str) -> RDBStorage:
    return RDBStorage(address, engine_kwargs={"connect_args": {"factory": _WriteAhead}})


def close_interrupted(study: optuna.Study) -> list[FrozenTrial]:
    """Close the trials that a killed process left running for ever; they are returned."""
    left = study.get_trials(states=(TrialState.RUNNING,))
    for trial in left:
        log.info("closing trial %d, left running by a process that was stopped", trial.number)
        study.tell(trial.number, state=TrialState.FAIL)
    return left

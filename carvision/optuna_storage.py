"""Optuna studies that are stored in a file and go on after an interruption.

The file is not MLflow's database: each has its own alembic tables and refuses the other's.
"""

import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import optuna
from alembic.util.exc import CommandError
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from carvision.errors import ConfigError, causes
from carvision.files import one_at_a_time

#: SQLite's errors that come from a lock, a disk or missing rights, while the file is intact.
_FILE_IS_INTACT: Final = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_READONLY",
    "SQLITE_IOERR",
    "SQLITE_PERM",
)

log = logging.getLogger(__name__)


def quiet_optuna() -> None:
    """Silence Optuna's line about each trial; a command that searches calls this when it starts."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(
    name: str, storage: str | None, seed: int, *, startup_trials: int = 10
) -> optuna.Study:
    """Open the study of this name, or create it: it minimises with TPE.

    The first ``startup_trials`` are drawn at random. ``storage`` is the address of an SQLite file;
    without one the study lives in memory.

    Raises:
        ConfigError: the file is no storage of this version of Optuna, or the study of this name
            does not minimise one value.
        SQLAlchemyError: the file is locked, or the disk fails.
    """
    study = optuna.create_study(
        study_name=name,
        storage=None if storage is None else _file_storage(storage),
        direction="minimize",
        load_if_exists=True,
    )
    if study.directions != [StudyDirection.MINIMIZE]:
        raise ConfigError(f"the study {name!r} in {storage} {not_ours(name, storage)}")
    # A study that goes on with the same seed would draw its first points again.
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(study.trials), n_startup_trials=startup_trials
    )
    return study


class _WriteAhead(sqlite3.Connection):
    """A connection whose transactions do not wait for the disk.

    Each parameter of a trial is a transaction, which by default waits for an fsync. With a
    write-ahead log (https://www.sqlite.org/wal.html) a killed process loses nothing; a power
    failure may lose the last trials, but never damages the file.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=NORMAL")


def _file_storage(address: str) -> RDBStorage:
    try:
        # Two processes must not create the tables and turn on the log at once.
        with one_at_a_time(Path(f"{address.removeprefix('sqlite:///')}.lock")):
            return RDBStorage(address, engine_kwargs={"connect_args": {"factory": _WriteAhead}})
    # Optuna raises RuntimeError for a file of another version.
    except (SQLAlchemyError, CommandError, StorageInternalError, RuntimeError) as error:
        if _is_file_intact(error):
            raise
        reason = str(error).strip().partition("\n")[0][:300]
        raise ConfigError(
            f"{address} cannot be used for studies: {reason}\nMove the file away to begin anew, "
            f"or if an older Optuna wrote it: optuna storage upgrade --storage {address}"
        ) from error


def _is_file_intact(error: BaseException) -> bool:
    """Whether only a lock, the disk or missing rights keep the file from being used."""
    names = (each.sqlite_errorname for each in causes(error) if isinstance(each, sqlite3.Error))
    return next(names, "").startswith(_FILE_IS_INTACT)


def refuse_other_choices(
    study: optuna.Study, wanted: Mapping[str, BaseDistribution], storage: str | None
) -> None:
    """Refuse a study whose trials have other choices: Optuna cannot draw further ones for it.

    Raises:
        ConfigError: a parameter of the same name is of another kind, or has other choices.
    """
    for trial in study.get_trials(deepcopy=False):
        for name, kind in trial.distributions.items():
            try:
                if name in wanted:
                    check_distribution_compatibility(kind, wanted[name])
            except ValueError:
                raise ConfigError(
                    f"the study {study.study_name!r} in {storage} has a trial {trial.number} "
                    f"whose {name[:100]!r} {not_ours(study.study_name, storage)}"
                ) from None


def not_ours(name: str, storage: str | None) -> str:
    """The end of a message about a study that carvision did not make: what to do with it."""
    return (
        "is of another search; remove the study: "
        f"optuna delete-study --study-name {name} --storage {storage}"
    )


def close_interrupted(study: optuna.Study) -> list[FrozenTrial]:
    """Close and return the trials that a killed process left in the state running."""
    left = study.get_trials(states=(TrialState.RUNNING,))
    for trial in left:
        log.info("closing trial %d, left running by a process that was stopped", trial.number)
        study.tell(trial.number, state=TrialState.FAIL)
    return left

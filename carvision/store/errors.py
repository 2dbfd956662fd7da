"""Turns errors of a local store into one sentence that says what to do.

MLflow and Optuna raise errors of SQLAlchemy and Alembic. A file that is none of Optuna's, or of
another version, is refused where it is opened (:mod:`carvision.optuna_storage`).
"""

import re
import sqlite3
import traceback
from pathlib import Path
from typing import Final

import mlflow
from alembic.util.exc import CommandError
from mlflow.exceptions import MlflowException

from carvision.errors import causes
from carvision.store.database import local_database
from carvision.workspace import STUDIES

_LOCKED: Final = (
    "{file} is locked by another program (a database browser, a backup, another command): close "
    "that, or wait for it, then run this again"
)
_NO_ACCESS: Final = (
    "{file} cannot be written: give write access to the file and to its folder, then run this again"
)
#: By the name of SQLite's error, without what follows a second underscore
#: (https://www.sqlite.org/rescode.html).
_SQLITE: Final = {
    "SQLITE_NOTADB": (
        "{file} is no SQLite database: move it away, and a new one is made, or put a copy of the "
        "right one in its place"
    ),
    "SQLITE_CORRUPT": (
        "the database {file} is damaged: put a copy of it in its place, or move it away, and a new "
        "one is made; `sqlite3 {file} .recover` reads what can be read"
    ),
    "SQLITE_FULL": "the disk is full, {file} cannot be written: make room, then run this again",
    "SQLITE_READONLY": _NO_ACCESS,
    "SQLITE_PERM": _NO_ACCESS,
    "SQLITE_AUTH": _NO_ACCESS,
    "SQLITE_CANTOPEN": (
        "the database {file} cannot be opened: it must be a file, in a folder that can be read and "
        "written; mend that, then run this again"
    ),
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_IOERR": (
        "the disk refused to read or write {file} (a limit on the size of files, a quota, a "
        "network folder that is gone, a failing disk): mend that, then run this again"
    ),
}
_OUT_OF_DATE: Final = re.compile(r"out-of-date database schema \(found version (\w+)")
_UNKNOWN_SCHEMA: Final = re.compile(r"Can't locate revision identified by '(\w+)'")
_DELETED: Final = re.compile(
    r"The experiment (\S+) must be in the 'active' state|"
    r"Cannot set a deleted experiment '(.*)' as the active experiment"
)


def store_problem(error: BaseException) -> str | None:
    """What is wrong with the store, and what to do; None for errors of another kind."""
    for cause in causes(error):
        if isinstance(cause, sqlite3.Error):
            sentence = _SQLITE.get("_".join(cause.sqlite_errorname.split("_")[:2]))
            if sentence is not None:
                return sentence.format(file=str(STUDIES) if _is_from_optuna(error) else _database())
        if isinstance(cause, MlflowException | CommandError) and (found := _of_mlflow(str(cause))):
            return found
    return None


def file_store_problem(uri: str) -> str:
    """What to do about MLflow's file store, which it no longer opens."""
    source = uri.removeprefix("file://") or "mlruns"
    return (
        f"{source} is a file store of an earlier MLflow, which this one opens no more: take its "
        f"runs over with `mlflow migrate-filestore --source {source} --target "
        "sqlite:///mlflow.db` and move it away, or, to go on without them, move it away at once; "
        "MLFLOW_TRACKING_URI must not name it. MLFLOW_ALLOW_FILE_STORE=true opens it all the same"
    )


def _of_mlflow(message: str) -> str | None:
    database = _database()
    if found := _OUT_OF_DATE.search(message) or _UNKNOWN_SCHEMA.search(message):
        if _is_known(found[1]):
            return (
                f"{database} is of an earlier MLflow: copy the file, then bring it up to date with "
                f"`mlflow db upgrade sqlite:///{database}`, and run this again"
            )
        return (
            f"{database} was written by a newer MLflow than {mlflow.__version__}, which is "
            "installed: install that, or take another file: MLFLOW_TRACKING_URI=sqlite:///new.db"
        )
    if found := _DELETED.search(message):
        which = found[1] or repr(found[2])
        return (
            f"the MLflow experiment {which} was deleted: take it back with `mlflow experiments "
            f"restore --experiment-id {found[1] or 'ID'}` (`mlflow experiments search --view "
            "deleted_only` shows the IDs), or give the name of another in MLFLOW_EXPERIMENT_NAME"
        )
    if "an mlflow-artifacts URI was supplied" in message:
        return (
            f"this experiment of {database} keeps its files through an MLflow server: start it "
            "(make ui) and give its address, MLFLOW_TRACKING_URI=http://127.0.0.1:5000, or give "
            "the name of another experiment in MLFLOW_EXPERIMENT_NAME"
        )
    return None


def _is_from_optuna(error: BaseException) -> bool:
    """Whether Optuna's storage raised an error, and not MLflow within a trial of Optuna."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package in ("mlflow", "optuna"):
            return package == "optuna"
    return False


def _database() -> Path | str:
    """The database of the store, for messages."""
    database = local_database()
    if database is None:
        return "the MLflow database"
    return database.name if database.parent == Path.cwd() else database


def _is_known(revision: str) -> bool:
    """Whether the installed MLflow knows a schema, which then is that of an earlier MLflow."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    script = ScriptDirectory.from_config(_get_alembic_config(""))
    return revision in {each.revision for each in script.walk_revisions()}

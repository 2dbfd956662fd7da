"""The client of the tracking store, and what the first use of a local store has to do.

MLflow creates the tables of a database in two seconds of small steps. Two processes that do so at
once, or a kill in between, leave a database that no later command can open. So the first call of
:func:`client` in a process creates a missing database under another name, holding a lock, and
renames it. It also corrects the places of artifacts in a project that was moved.
"""

import sqlite3
from pathlib import Path

import mlflow
from alembic.util.exc import CommandError
from mlflow.environment_variables import MLFLOW_ALLOW_FILE_STORE
from mlflow.exceptions import MlflowException
from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient
from mlflow.utils.uri import is_databricks_uri
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from carvision.errors import TrackingError
from carvision.files import one_at_a_time
from carvision.store.address import refuse_unusable
from carvision.store.database import is_incomplete, local_database, remove_database
from carvision.store.errors import file_store_problem, store_problem
from carvision.store.relocation import relocate, take_from_ui
from carvision.workspace import LOCKS, database_lock

_opened: set[tuple[str, Path]] = set()


def open_store() -> None:
    """Make a local store ready for use, once in a process; other stores are ready.

    Raises:
        TrackingError: the store cannot be used; the message says what to do.
    """
    uri = mlflow.get_tracking_uri()
    refuse_unusable(uri)
    if is_databricks_uri(uri):
        return
    if uri.startswith("file:") or "://" not in uri:
        if not MLFLOW_ALLOW_FILE_STORE.get():
            raise TrackingError(file_store_problem(uri))
        return
    database = local_database()
    if database is None or ((uri, Path.cwd()) in _opened and database.exists()):
        return
    here = database.parent == Path.cwd()
    lock = database_lock(database) if here else Path(f"{database}.lock")
    try:
        with one_at_a_time(lock):
            _create(database, uri)
            MlflowClient().search_experiments(max_results=1)
            relocate(database, LOCKS)
            take_from_ui(database, Path.cwd())
    except (sqlite3.Error, SQLAlchemyError, CommandError, MlflowException) as error:
        sentence = store_problem(error)
        if sentence is None:
            raise
        raise TrackingError(sentence) from error
    _opened.add((uri, Path.cwd()))


def _create(database: Path, uri: str) -> None:
    """Create the database unless it is there, with all of its tables."""
    if database.exists() and not is_incomplete(database):
        return
    temporary = Path(f"{database}.creating")
    remove_database(temporary)  # a kill may have left it
    address = make_url(uri).set(database=str(temporary)).render_as_string(hide_password=False)
    SqlAlchemyStore(address, DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
    remove_database(database)
    temporary.replace(database)


def client() -> MlflowClient:
    """A client of the tracking store; a local store is made ready by :func:`open_store`.

    Raises:
        TrackingError: the store cannot be used.
    """
    open_store()
    return MlflowClient()

"""The SQLite file of a local tracking store: where it is, and whether it is whole."""

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import mlflow
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

#: Without a write for so long, nobody is creating the database any more.
IDLE_SECONDS = 10.0
#: How long to wait for another program that keeps the database locked.
LOCKED_SECONDS = 20.0
#: Tables in which MLflow's own migrations write rows.
_OF_MIGRATIONS = {"alembic_version", "workspaces"}


def local_database() -> Path | None:
    """The absolute path of the SQLite file that the tracking URI names; None for other stores."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("sqlite"):
        return None
    try:
        name = make_url(uri).database
    except ArgumentError:
        return None  # MLflow says what is wrong with the address
    return Path(name).absolute() if name and name != ":memory:" else None


def connected(database: Path) -> closing[sqlite3.Connection]:
    """A connection to a database that exists, which a ``with`` block closes."""
    return closing(
        sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=LOCKED_SECONDS)
    )


def is_incomplete(database: Path) -> bool:
    """Whether the creation of a database was interrupted before anything was stored in it.

    Waits while another process creates it: ``mlflow run`` and ``mlflow ui`` do so before this
    program starts, and hold no lock.

    Raises:
        sqlite3.Error: the file is no database, or cannot be read.
    """
    last, since = None, 0.0
    while not _has_rows(database):
        if (written := _written(database)) != last:
            last, since = written, time.monotonic()
        # Monotonic time as well: the clock of another machine may have written the first.
        if max(time.time() - written, time.monotonic() - since) > IDLE_SECONDS:
            return True
        time.sleep(0.2)
    return False


def remove_database(database: Path) -> None:
    """Remove a database and the files that SQLite keeps beside it.

    SQLite would apply a journal that is left to the next database of this name.
    """
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def _has_rows(database: Path) -> bool:
    with connected(database) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in names.fetchall()} - _OF_MIGRATIONS
        return any(
            connection.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone() for table in tables
        )


def _written(database: Path) -> float:
    """When the database or its journal was written to last."""
    times = [database.stat().st_mtime]
    for suffix in ("-journal", "-wal"):
        with suppress(FileNotFoundError):
            times.append(Path(f"{database}{suffix}").stat().st_mtime)
    return max(times)

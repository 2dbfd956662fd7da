"""The SQLite file of a local tracking store: where it is, and whether it is whole."""

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import mlflow
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

#: A database that is being created is written to all the time.
_IDLE_SECONDS = 10.0
#: How long another program may keep it locked.
_LOCKED_SECONDS = 20.0
#: Tables in which MLflow's own migrations write rows.
_OF_MIGRATIONS = {"alembic_version", "workspaces"}


def local_database() -> Path | None:
    """The SQLite file that the tracking URI names, as an absolute path; None for other stores."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("sqlite"):
        return None
    try:
        name = make_url(uri).database
    except ArgumentError:
        return None  # what is wrong with it is MLflow's to say
    return Path(name).absolute() if name and name != ":memory:" else None


def connected(database: Path) -> closing[sqlite3.Connection]:
    """A connection to a database that exists; it closes itself."""
    return closing(
        sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=_LOCKED_SECONDS)
    )


def is_incomplete(database: Path) -> bool:
    """Whether the creation of its tables was interrupted before anything was stored.

    One that another process is creating right now is waited for: ``mlflow run`` and ``mlflow ui``
    create it before this program starts, and hold no lock.

    Raises:
        sqlite3.Error: it is no database, or cannot be read.
    """
    last, since = None, 0.0
    while not _has_rows(database):
        if (written := _written(database)) != last:
            last, since = written, time.monotonic()
        # The second for clocks that differ: another machine may have written it.
        if max(time.time() - written, time.monotonic() - since) > _IDLE_SECONDS:
            return True
        time.sleep(0.2)
    return False


def remove_database(database: Path) -> None:
    """Remove it, and the files that SQLite keeps beside it.

    A journal that were left would be played into the next database of this name.
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
    """When it was written to last, or its journal."""
    times = [database.stat().st_mtime]
    for suffix in ("-journal", "-wal"):
        with suppress(FileNotFoundError):
            times.append(Path(f"{database}{suffix}").stat().st_mtime)
    return max(times)

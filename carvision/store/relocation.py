"""Corrects the places of artifacts in the database of a project that was moved or copied.

MLflow writes absolute paths into its database. In a project that was moved they lead to a folder
that is gone, and in a copy they lead into the original.
"""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout

from carvision.errors import TrackingError
from carvision.store.database import connected
from carvision.workspace import database_backup

log = logging.getLogger(__name__)

_ARTIFACTS: Final = "mlruns"
#: Table and column of each kind of place, and which rows get no more files.
_PLACES: Final = (
    ("experiments", "artifact_location", "0"),
    ("runs", "artifact_uri", "status = 'FINISHED'"),
    ("logged_models", "artifact_location", "1"),
    ("model_versions", "storage_location", "1"),
    ("model_versions", "source", "1"),
)
#: The tag of a prepare run that names the data's folder.
ROOT_TAG: Final = "carvision.root"
#: Files that mark a folder as a project, or as that of a store.
_MARKS: Final = ("MLproject", "mlflow.db")


def relocate(database: Path, locks: Path) -> None:
    """Change the places in ``database`` from an earlier folder of this project to the present one.

    A place keeps its path where its files are complete and only in the earlier folder, and where
    the user chose it (another disk, a bucket). The database is copied first.

    Raises:
        TrackingError: another process, which may use the earlier paths, trains in this folder.
    """
    # Artifacts lie beside the database, or in the folder that MLflow was first called in.
    for home in dict.fromkeys((database.parent, Path.cwd())):
        with connected(database) as connection:
            for root in _earlier_roots(connection, database, home):
                _refuse_while_busy(locks, root)
                backup = _copied(connection, database_backup(database))
                count = _rewrite(connection, root, home)
                log.warning(
                    "%s was in %s before: %d places of artifacts in it name %s now (the database "
                    "as it was: %s)",
                    *(database.name, root, count, home / _ARTIFACTS, backup),
                )


def take_from_ui(database: Path, home: Path) -> None:
    """Let unused experiments that the UI's server made keep their artifacts in ``home``.

    Where ``mlflow ui`` is the first command of a project, the experiments that it makes can store
    nothing without its server. ``mlflow run`` may have opened its own run in one of them by now.
    """
    own = os.environ.get("MLFLOW_RUN_ID", "")
    unused = (
        "artifact_location = 'mlflow-artifacts:/' || experiment_id AND NOT EXISTS (SELECT 1 FROM "
        "runs WHERE runs.experiment_id = experiments.experiment_id AND run_uuid != ?)"
    )
    with connected(database) as connection, connection:
        find = f"SELECT experiment_id FROM experiments WHERE {unused}"
        for (experiment,) in connection.execute(find, (own,)).fetchall():
            place = (home / _ARTIFACTS / str(experiment)).as_posix()
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (place, experiment),
            )
            connection.execute(
                "UPDATE runs SET artifact_uri = ? WHERE experiment_id = ? AND run_uuid = ?",
                (f"{place}/{own}/artifacts", experiment, own),
            )


def _earlier_roots(connection: sqlite3.Connection, database: Path, home: Path) -> list[Path]:
    """Earlier folders of the store, by the places where experiments keep their artifacts."""
    rows = connection.execute("SELECT experiment_id, artifact_location FROM experiments")
    paths = {str(experiment): _local_path(location) for experiment, location in rows.fetchall()}
    roots = dict.fromkeys(
        path.parents[1]
        for experiment, path in paths.items()
        if path is not None and path.parts[-2:] == (_ARTIFACTS, experiment)
    )
    ours = [(folder / _ARTIFACTS).resolve() for folder in (home, Path.cwd())]
    return [
        root
        for root in roots
        if (root / _ARTIFACTS).resolve() not in ours and _was_here(connection, database, root, home)
    ]


def _was_here(connection: sqlite3.Connection, database: Path, root: Path, home: Path) -> bool:
    """Whether the store was in ``root`` before; if not, the user chose that place."""
    gone = not (root / _ARTIFACTS).exists()
    if (gone or home == database.parent) and _has_files_of(connection, root, home):
        return True
    if not home == database.parent == Path.cwd():
        return False  # one database of several projects
    if any((root / mark).exists() for mark in _MARKS):
        return True
    # The scripts and data of its runs.
    sources = "SELECT 1 FROM tags WHERE key IN ('mlflow.source.name', ?) AND instr(value, ?)"
    return connection.execute(sources, (ROOT_TAG, f"{root}/")).fetchone() is not None


def _has_files_of(connection: sqlite3.Connection, root: Path, home: Path) -> bool:
    """Whether ``home`` has the artifacts of a run whose place is below ``root``."""
    places = (place for (place,) in connection.execute("SELECT artifact_uri FROM runs"))
    return any((below := _below(place, root)) and (home / below).exists() for place in places)


def _rewrite(connection: sqlite3.Connection, root: Path, home: Path) -> int:
    """Change all places in one transaction; return their number."""
    artifacts, count = Path(_ARTIFACTS), 0
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for table, column, closed in _PLACES:
            rows = connection.execute(f"SELECT rowid, {column}, {closed} FROM {table}").fetchall()
            for rowid, place, is_closed in rows:
                below = _below(place, root)
                if below is None or below.parts[:1] != artifacts.parts:
                    continue
                if is_closed and (root / below).exists() and not (home / below).exists():
                    continue
                new = ((home / below).as_posix(), rowid)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", new)
                count += 1
        # The sample and unpacked archives lie in the project's folder, and moved with it.
        tags = connection.execute("SELECT rowid, value FROM tags WHERE key = ?", (ROOT_TAG,))
        for rowid, value in tags.fetchall():
            below = _below(value, root)
            if below is not None and (home / below).exists():
                new = (str(home / below), rowid)
                connection.execute("UPDATE tags SET value = ? WHERE rowid = ?", new)
    return count


def _below(place: str | None, root: Path) -> Path | None:
    """A place relative to ``root``; None where it is elsewhere."""
    path = _local_path(place)
    return path.relative_to(root) if path is not None and path.is_relative_to(root) else None


def _local_path(place: str | None) -> Path | None:
    """The absolute path of a place; None where it names none on this machine."""
    if not place:
        return None
    parts = urlsplit(place)
    path = Path(url2pathname(parts.path) if parts.scheme == "file" else place)
    return path if path.is_absolute() else None


def _copied(connection: sqlite3.Connection, backup: Path) -> Path:
    backup.parent.mkdir(parents=True, exist_ok=True)
    backup.unlink(missing_ok=True)
    with closing(sqlite3.connect(backup)) as target:
        connection.backup(target)
    return backup


def _refuse_while_busy(locks: Path, root: Path) -> None:
    """Refuse to change places while a fold is trained here.

    In a container, for example, that training may know this folder by its earlier path.
    """
    for path in locks.glob("*-fold*"):
        try:
            FileLock(path, timeout=0).acquire().lock.release()
        except Timeout:
            raise TrackingError(
                f"the artifacts of this project are in {root / _ARTIFACTS}, where it was before, "
                f"and another process trains in this folder (it holds {path}): wait for it, or "
                "stop it; then run this again"
            ) from None

"""The first use of a local store: made whole, once; and what is wrong with one, in a sentence."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from carvision.errors import TrackingError
from carvision.store import client as opening
from carvision.store import database
from carvision.store.client import client, open_store
from carvision.store.runs import find_runs
from tests.store.local_project import change, folder, project, rows, template

__all__ = ["folder", "project", "template"]


def _half(path: Path) -> None:
    """What a kill in the middle of the migrations leaves."""
    change(
        path,
        "CREATE TABLE experiments (experiment_id INTEGER)",
        "CREATE TABLE workspaces (name TEXT)",
        "INSERT INTO workspaces VALUES ('default')",
        "CREATE TABLE alembic_version (version_num TEXT)",
        "INSERT INTO alembic_version VALUES ('451aebb31d03')",
    )


@pytest.fixture
def made(template: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was created, in the time that it takes to copy it."""
    created = []

    class Copied:
        def __init__(self, uri: str, root: str) -> None:
            created.append(uri)
            Path(uri.removeprefix("sqlite:///")).write_bytes(template.read_bytes())
            self.engine = self

        def dispose(self) -> None:
            pass

    monkeypatch.setattr(opening, "SqlAlchemyStore", Copied)
    return created


@pytest.mark.parametrize("left", [_half, Path.touch, None], ids=["half", "empty", "none"])
def test_what_a_kill_left_is_made_anew(
    folder: Path, made: list[str], left: Callable[[Path], None] | None
) -> None:
    file = folder / "mlflow.db"
    if left is not None:
        left(file)
        os.utime(file, (time.time() - 60,) * 2)
    (folder / "mlflow.db.creating").write_bytes(b"half")
    # Of a database that was removed by hand: SQLite would play it into the next one.
    (folder / "mlflow.db-wal").write_bytes(b"stale")
    open_store()
    assert made == [f"sqlite:///{folder}/mlflow.db.creating"]
    assert [each.name for each in client().search_experiments()] == ["Default"]
    names = {path.name for path in folder.iterdir()}
    assert names == {"mlflow.db", "work"}


def test_a_fresh_store_keeps_artifacts_in_the_project(template: Path) -> None:
    ((place,),) = rows(template, "SELECT artifact_location FROM experiments")
    assert place == str(template.parent / "made" / "mlruns" / "0")


def test_one_that_another_program_is_creating_is_waited_for(
    folder: Path, made: list[str], template: Path
) -> None:
    """``mlflow run`` and ``mlflow ui`` create it before this program starts, without a lock."""
    file = folder / "mlflow.db"
    _half(file)

    def finish() -> None:
        Path(f"{file}.other").write_bytes(template.read_bytes())
        Path(f"{file}.other").replace(file)

    timer = threading.Timer(0.3, finish)
    timer.start()
    open_store()
    timer.join()
    assert made == []


def test_one_that_nobody_goes_on_with_is_given_up(
    folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "IDLE_SECONDS", 0.3)
    _half(folder / "mlflow.db")
    os.utime(folder / "mlflow.db", (time.time() + 3600,) * 2)  # a clock that differs
    open_store()
    assert len(made) == 1


def test_two_first_commands_create_it_once(folder: Path, made: list[str]) -> None:
    threads = [threading.Thread(target=open_store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(client().search_experiments()) == 1


def test_a_database_of_others_is_not_taken_for_a_half_one(project: Path, made: list[str]) -> None:
    change(project / "mlflow.db", "CREATE TABLE mine (x)", "INSERT INTO mine VALUES (1)")
    open_store()
    assert made == []
    assert rows(project / "mlflow.db", "SELECT x FROM mine") == [(1,)]


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _garbled(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[100:8192] = b"\xff" * 8092
    file.write_bytes(content)


def _older(file: Path) -> None:
    change(file, "UPDATE alembic_version SET version_num = '451aebb31d03'")


def _newer(file: Path) -> None:
    change(file, "UPDATE alembic_version SET version_num = 'feedfeedfeed'")


def _newer_and_others_tables(file: Path) -> None:
    _newer(file)
    change(file, "DROP TABLE job_locks")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.write_text("no database, " * 100), "is no SQLite database"),
        (_folder, "cannot be opened"),
        (_garbled, "is damaged"),
        (_older, "mlflow db upgrade sqlite:///mlflow.db"),
        (_newer, "was written by a newer MLflow"),
        (_newer_and_others_tables, "was written by a newer MLflow"),
    ],
)
def test_what_is_wrong_in_a_sentence(
    project: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(project / "mlflow.db")
    with pytest.raises(TrackingError, match=said) as caught:
        find_runs("train", {})
    assert str(caught.value).startswith(("mlflow.db", "the database mlflow.db"))
    assert "\n" not in str(caught.value)


def test_one_that_is_locked(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCKED_SECONDS", 0.1)
    with closing(sqlite3.connect(project / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match=r"mlflow.db is locked by another program"):
            open_store()
    open_store()


@pytest.mark.parametrize("how", ["setting", "found"])
def test_the_file_store_of_an_earlier_mlflow(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (folder / "mlruns" / "0").mkdir(parents=True)
    (folder / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    uri = "mlruns" if how == "setting" else f"file://{folder}/mlruns"
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    with pytest.raises(TrackingError, match=r"mlflow migrate-filestore --source \S*mlruns "):
        open_store()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    open_store()


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "postgresql://host/name", "sqlite://"])
def test_other_stores_are_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: uri)
    # Its driver need not be installed here.
    monkeypatch.setattr(opening, "refuse_unusable", lambda uri: None)
    open_store()
    assert list(folder.iterdir()) == []


def test_it_is_opened_once_and_again_where_it_was_removed(project: Path, made: list[str]) -> None:
    open_store()
    before = time.perf_counter()
    for _ in range(100):
        open_store()
    assert time.perf_counter() - before < 0.5
    (project / "mlflow.db").unlink()
    open_store()
    assert len(made) == 1

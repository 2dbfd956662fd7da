"""Projects with a local store: made once in two seconds, then copied."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from carvision.store import client as opening


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, made in a folder that is gone since."""
    folder = tmp_path_factory.mktemp("template") / "made"
    folder.mkdir()
    before, uri = Path.cwd(), mlflow.get_tracking_uri()
    os.chdir(folder)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    opening.open_store()
    mlflow.set_tracking_uri(uri)
    os.chdir(before)
    made = folder.parent / "mlflow.db"
    shutil.move(folder / "mlflow.db", made)
    shutil.rmtree(folder)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project's folder, with the default store, which no process opened yet."""
    before = mlflow.get_tracking_uri()
    project = tmp_path.resolve() / "project"
    project.mkdir()
    enter(project, monkeypatch)
    yield project
    mlflow.set_tracking_uri(before)


@pytest.fixture
def project(folder: Path, template: Path) -> Path:
    """A project's folder with a store that was made in it."""
    shutil.copyfile(template, folder / "mlflow.db")
    change(
        folder / "mlflow.db",
        f"UPDATE experiments SET artifact_location = '{folder}/mlruns/' || experiment_id",
    )
    return folder


def enter(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a command in a project's folder, as a new process does."""
    monkeypatch.chdir(project)
    monkeypatch.setattr(opening, "_opened", set())
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    _artifact_repos_cache.clear()
    # The absolute one of `mlflow run` and of MLflow's own default.
    mlflow.set_tracking_uri(f"sqlite:///{project}/mlflow.db")


def change(database: Path, *statements: str) -> None:
    """Do what another program did to a database."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def rows(database: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()

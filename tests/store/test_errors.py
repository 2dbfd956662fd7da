"""Errors of SQLite, MLflow and Optuna that come from a store, in one sentence."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from mlflow.exceptions import MlflowException
from optuna.storages import RDBStorage
from sqlalchemy import event

from carvision.store.client import client
from carvision.store.errors import store_problem
from carvision.store.open_runs import tracked_run
from tests.store.local_project import change, folder, project, template

__all__ = ["folder", "project", "template"]


def _sentence(action: Callable[[], object]) -> str:
    with pytest.raises(Exception) as caught:
        action()
    sentence = store_problem(caught.value)
    assert sentence is not None, repr(caught.value)
    assert "\n" not in sentence
    return sentence


@contextmanager
def _limited(engine: object, limit: str, file: Path) -> Iterator[None]:
    """A disk that takes no more, as SQLite itself finds it."""

    def restrict(connection: sqlite3.Connection, record: object) -> None:
        connection.execute(limit)

    if limit.startswith("PRAGMA"):
        engine.dispose()  # type: ignore[attr-defined]
        event.listen(engine, "connect", restrict)
        yield
        event.remove(engine, "connect", restrict)
        engine.dispose()  # type: ignore[attr-defined]
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


_LIMITS = pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("PRAGMA max_page_count = 1", "the disk is full, {} cannot be written"),
        ("PRAGMA query_only = 1", "{} cannot be written: give write access"),
        ("file size", "{}"),
    ],
)


@_LIMITS
def test_a_disk_that_refuses_mlflow(project: Path, limit: str, said: str) -> None:
    with tracked_run("train", "a run") as run:
        pass
    engine = client()._tracking_client.store.engine
    text = "x" * 5000
    with _limited(engine, limit, project / "mlflow.db"):
        many = {f"tag{i}": text for i in range(50)}

        def write() -> None:
            for key, value in many.items():
                client().set_tag(run.info.run_id, key, value)

        assert said.format("mlflow.db") in _sentence(write)
    client().set_tag(run.info.run_id, "then", "it goes on")


@_LIMITS
def test_a_disk_that_refuses_optuna(project: Path, limit: str, said: str) -> None:
    storage = RDBStorage("sqlite:///optuna.db")
    study = optuna.create_study(storage=storage, study_name="a study")
    with _limited(storage.engine, limit, project / "optuna.db"):

        def write() -> None:
            for i in range(50):
                study.set_user_attr(f"attribute{i}", "x" * 2000)

        assert said.format("optuna.db") in _sentence(write)


def test_a_trial_that_cannot_write_to_mlflow(project: Path) -> None:
    """It runs inside Optuna; the file is MLflow's."""
    with tracked_run("hpo", "a run") as run:
        pass
    engine = client()._tracking_client.store.engine

    def objective(trial: optuna.Trial) -> float:
        client().set_tag(run.info.run_id, "trial", "1")
        return 0.0

    study = optuna.create_study(storage="sqlite:///optuna.db")
    with _limited(engine, "PRAGMA query_only = 1", project / "mlflow.db"):
        assert "mlflow.db cannot" in _sentence(lambda: study.optimize(objective, n_trials=1))


@pytest.mark.parametrize("how", ["the default", "by name"])
def test_a_deleted_experiment(project: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    which = "0"
    if how == "by name":
        which = "1"
        client().delete_experiment(client().create_experiment("my cars"))
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "my cars")
    else:
        client()
        change(project / "mlflow.db", "UPDATE experiments SET lifecycle_stage = 'deleted'")

    def begin() -> None:
        with tracked_run("train", "a run"):
            pass

    sentence = _sentence(begin)
    assert f"the MLflow experiment {which} was deleted" in sentence
    assert "mlflow experiments restore --experiment-id" in sentence


def test_a_deleted_experiment_that_mlflow_names() -> None:
    error = MlflowException(
        "Cannot set a deleted experiment 'my cars' as the active experiment. You can restore it"
    )
    assert "the MLflow experiment 'my cars' was deleted" in _sentence(lambda: _raise(error))


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error", [ValueError("a defect"), MlflowException("of something else"), OSError(2, "no file")]
)
def test_other_errors_are_left_alone(project: Path, error: Exception) -> None:
    assert store_problem(error) is None

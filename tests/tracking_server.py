"""A tracking server that goes away and comes back, and a fold's log to send to it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.server import app, handlers
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from carvision.tracking.event_log import EventLog

METRICS = {"train/loss": 1.5, "val/log_loss": 2.5}


class Server:
    """MLflow's own server, in a thread, at an address that it keeps."""

    def __init__(self) -> None:
        self._server: BaseWSGIServer | None = None
        self._port = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._server = make_server(
            "127.0.0.1", self._port, app, threaded=True, request_handler=_Silent
        )
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Silent(WSGIRequestHandler):
    def log(self, *args: object) -> None:
        pass


@pytest.fixture
def server(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, MlflowClient]]:
    """A running server, made the tracking store; and a client of the database behind it."""
    database = f"sqlite:///{store}/mlflow.db"
    before = mlflow.get_tracking_uri()
    monkeypatch.setattr(handlers, "_tracking_store", None)
    # Opened first: it makes its database the tracking store of the whole process, this one.
    handlers._get_tracking_store(database, str(tmp_path / "artifacts"))
    monkeypatch.setattr(handlers, "_model_registry_store", None)
    handlers._get_model_registry_store(database)
    # It does so for the registry, too, which is to follow the tracking store again.
    mlflow.set_registry_uri("")
    os.environ.pop("MLFLOW_REGISTRY_URI", None)
    server = Server()
    server.start()
    mlflow.set_tracking_uri(server.uri)
    yield server, MlflowClient(database)
    mlflow.set_tracking_uri(before)
    server.stop()


@pytest.fixture
def run_id(store: Path) -> str:
    """A run of the SQLite store."""
    client = MlflowClient()
    experiment = client.get_experiment_by_name("tests")
    return str(client.create_run(experiment.experiment_id).info.run_id)


@pytest.fixture
def events(tmp_path: Path, run_id: str) -> EventLog:
    """The log of a fold's training that has just begun."""
    log = EventLog(tmp_path / "set" / "fold1" / "events.jsonl", run_id)
    log.run_started("fold 1", 200)
    return log


def points(client: MlflowClient, run_id: str, name: str = "val/log_loss") -> list[tuple]:
    """What a run holds of a metric: step and value, sent twice or not."""
    return [(m.step, m.value) for m in client.get_metric_history(run_id, name)]


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)

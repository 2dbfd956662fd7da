"""Who answers at a tracking server's address, found out without MLflow's minutes of retries."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pytest

from carvision.tracking.server import unreachable


class _Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    before = mlflow.get_tracking_uri()
    yield server.server_port
    mlflow.set_tracking_uri(before)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [200, 401, 404, 502])
@pytest.mark.parametrize("user", ["", "me:secret@"])
def test_somebody_answers(
    port: int, status: int, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "status", status)
    mlflow.set_tracking_uri(f"http://{user}127.0.0.1:{port}/prefix/")
    assert unreachable() is None


def test_nobody_answers(port: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        mlflow.set_tracking_uri(f"http://127.0.0.1:{free.getsockname()[1]}")
        assert "refused" in str(unreachable())


def test_a_certificate_that_is_not_trusted_is_mlflows_to_judge(port: int) -> None:
    # No TLS is spoken there: as much of a handshake as fails.
    mlflow.set_tracking_uri(f"https://127.0.0.1:{port}")
    assert unreachable() is None


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "databricks", "http://[half"])
def test_no_address_to_ask(port: int, uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    assert unreachable() is None

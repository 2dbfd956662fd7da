"""Who answers at a tracking server's address, found out without MLflow's minutes of retries."""

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from carvision.errors import TrackingError
from carvision.store import server
from carvision.store.server import patiently, require_server, unreachable


class _Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    listening = HTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    before = mlflow.get_tracking_uri()
    yield listening.server_port
    mlflow.set_tracking_uri(before)
    listening.shutdown()
    listening.server_close()


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


def test_mlflows_client_is_the_one_that_asks(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a login, below a prefix, and around a proxy by a range of addresses."""
    seen = []

    def do_get(self: _Handler) -> None:
        seen.append((self.path, self.headers["Authorization"]))
        self.send_response(200)
        self.end_headers()

    monkeypatch.setattr(_Handler, "do_GET", do_get)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.0/8")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}/behind/it/")
    assert unreachable() is None
    assert seen == [("/behind/it/health", "Bearer abc")]


@pytest.mark.parametrize("no_proxy", ["", "10.0.0.0/8", "example.com"])
def test_a_proxy_that_is_away(port: int, no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://kim:s3cret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", no_proxy)
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
    reason = str(unreachable())
    assert "proxy" in reason
    assert "s3cret" not in reason


@pytest.mark.parametrize("user", ["", "kim:s3cret@"])
def test_the_error_names_the_server_without_its_password(port: int, user: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        mlflow.set_tracking_uri(f"http://{user}{address}")
        with pytest.raises(
            TrackingError, match=rf"{address} cannot be reached: .*refused"
        ) as error:
            require_server()
    assert "s3cret" not in str(error.value)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PAUSES", ())
    monkeypatch.setattr(server, "LONGEST_PAUSE", 0.01)


def _answers(outcomes: list[Exception | int]) -> Callable[[], int]:
    """Raises or returns one outcome after the other."""
    left = iter(outcomes)

    def call() -> int:
        outcome = next(left)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return call


_BROKEN = requests.exceptions.ChunkedEncodingError("IncompleteRead")
_FAILED = MlflowException("The following failures occurred while downloading")
_MISSING = MlflowException("no such model", error_code=RESOURCE_DOES_NOT_EXIST)


@pytest.mark.parametrize("error", [_BROKEN, _FAILED, requests.ConnectionError("reset")])
def test_an_outage_of_a_moment(
    port: int, no_pauses: None, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
    assert patiently("fetching weights", _answers([error, error, 7])) == 7
    assert "fetching weights failed" in caplog.text
    assert "does not answer" not in caplog.text  # it does


@pytest.mark.parametrize("outcomes", [[_MISSING, 7], [_BROKEN] * 4, [ValueError("a defect"), 7]])
def test_what_no_waiting_mends(port: int, no_pauses: None, outcomes: list[Exception | int]) -> None:
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
    with pytest.raises(type(outcomes[0])):
        patiently("fetching weights", _answers(outcomes))


def test_a_server_that_does_not_come_back(
    port: int,
    no_pauses: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.1)
    monkeypatch.setattr(server, "unreachable", lambda: "refused")
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
    with pytest.raises(TrackingError, match="cannot be reached: refused"):
        patiently("fetching weights", _answers([_BROKEN] * 1000))
    assert "fetching weights: the tracking server does not answer (refused)" in caplog.text


def test_a_local_store_is_asked_once(port: int) -> None:
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    with pytest.raises(MlflowException, match="failures"):
        patiently("fetching weights", _answers([_FAILED, 7]))

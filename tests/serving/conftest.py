"""A registered model's files, loaded the way MLflow's server loads them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.pyfunc import PyFuncModel, scoring_server

from carvision import serving
from carvision.models import Bundle
from carvision.store.model_files import BUNDLE
from tests.inference.conftest import bundle

__all__ = ["bundle"]

Answer = tuple[int, Any]


@pytest.fixture(scope="session")
def saved(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone as it is registered."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=str(serving.MEMBER_CODE),
        artifacts={BUNDLE: str(bundle.folder)},
        signature=serving.model_signature(bundle.classes.names),
        pip_requirements=[],
        model_config=serving.default_model_config(),
    )
    return folder


@pytest.fixture(scope="session")
def model(saved: Path) -> PyFuncModel:
    """What ``mlflow.pyfunc.load_model`` gives of it."""
    return mlflow.pyfunc.load_model(str(saved))


@pytest.fixture
def ask(model: PyFuncModel, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Send a request's body to MLflow's scoring server; status and answer come back."""
    # The server sets it for good.
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    app = scoring_server.init(model)

    def ask(body: object, kind: str = "application/json") -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer = asyncio.run(_post(app, content, kind))
        return status, json.loads(answer)

    return ask


async def _post(app: Any, body: bytes, kind: str) -> tuple[int, bytes]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/invocations",
        "raw_path": b"/invocations",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", kind.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent: list[dict[str, Any]] = []
    ended = asyncio.Event()
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        message = next(received, None)
        if message is None:
            await ended.wait()
        return message or {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            ended.set()

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

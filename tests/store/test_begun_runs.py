"""A run that mlflow run opened, and whose step was killed before it could name itself."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

import entrypoints
from carvision.pipelines.command import command_run
from carvision.store.begun_runs import begun_and_gone, note_begun
from carvision.store.client import client
from carvision.store.killed_runs import close_killed_runs

#: What `python -m entrypoints.NAME` does first; then it would import for seconds.
_START = "import entrypoints; print('noted', flush=True); input()"


@pytest.fixture
def begun(store: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A run as mlflow run opens it, and the process that it starts, before its imports are done."""
    run_id = client().create_run("0", run_name="amusing-moose-194").info.run_id
    environment = {
        **os.environ,
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
        "PYTHONPATH": str(Path(entrypoints.__file__).parents[1]),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _START],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "noted\n"
    yield run_id, process
    process.kill()
    process.communicate()


def _status(run_id: str) -> str:
    return str(client().get_run(run_id).info.status)


def test_killed_before_it_was_tagged(begun: tuple[str, subprocess.Popen[str]]) -> None:
    run_id, process = begun
    assert close_killed_runs() == []
    assert _status(run_id) == "RUNNING"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with command_run("tune", "the next command"):
        assert _status(run_id) == "KILLED"
    assert begun_and_gone(mlflow.get_tracking_uri()) == {}
    assert not list(Path("work/begun").iterdir())


def test_one_that_ended_is_left_as_it_ended(begun: tuple[str, subprocess.Popen[str]]) -> None:
    run_id, process = begun
    client().set_terminated(run_id, "FAILED")
    process.kill()
    process.wait()
    assert close_killed_runs() == []
    assert _status(run_id) == "FAILED"
    assert not list(Path("work/begun").iterdir())


def test_of_another_store(begun: tuple[str, subprocess.Popen[str]]) -> None:
    _, process = begun
    process.kill()
    process.wait()
    assert begun_and_gone("http://elsewhere") == {}
    assert len(begun_and_gone(mlflow.get_tracking_uri())) == 1


@pytest.mark.parametrize("run_id", ["", "../../x", "a/b"])
def test_what_is_no_run_is_not_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    note_begun()
    assert list(tmp_path.rglob("*.json")) == []


def test_a_password_is_not_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_RUN_ID", "abc")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://kim:s3cret@host")
    note_begun()
    (note,) = tmp_path.rglob("*.json")
    assert "s3cret" not in note.read_text()

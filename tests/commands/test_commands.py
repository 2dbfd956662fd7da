"""The literal commands, each in a process of its own, as a user types them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

_ROOT = Path(__file__).parents[2]
_QUICK = "data.folds=2 model.image_size=32 train.epochs=1"
_STUB_CONDA = """#!/bin/sh
[ "$1 $2" = "env list" ] && echo '{"envs": []}'
exit 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project's own files, as a clone would have them."""
    for name in ("MLproject", "conda.yaml", "carvision", "entrypoints"):
        source = _ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def _mlflow(project: Path, *arguments: str, **environment: str) -> str:
    """Run ``mlflow`` in ``project``; the interpreter that runs the tests is found first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # MLflow leaves the store and experiment of the tests' own process in the environment.
    own = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    own |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path, "COLUMNS": "200"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "mlflow"), *arguments],
        cwd=project,
        env=own | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def test_the_literal_train_command_with_a_stub_conda(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    conda = tmp_path_factory.mktemp("conda")
    (conda / "bin").mkdir()
    (conda / "bin" / "conda").write_text(_STUB_CONDA)
    (conda / "bin" / "conda").chmod(0o755)
    profile = conda / "etc" / "profile.d"
    profile.mkdir(parents=True)
    (profile / "conda.sh").write_text("conda() { :; }\n")
    arguments = ["-e", "train", "-P", "model=efficientnet_lite0", "-P", f"set={_QUICK}"]
    output = _mlflow(project, "run", ".", *arguments, MLFLOW_CONDA_HOME=str(conda))
    assert "no data was prepared yet: using the embedded sample" in output
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    (version,) = client.search_model_versions("name = 'carvision-efficientnet_lite0'")
    assert version.tags["folds"] == "2/2"
    parent = client.get_run(version.run_id)
    assert parent.info.status == "FINISHED"
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{version.run_id}'"
    )
    stages = sorted(run.data.tags["carvision.stage"] for run in children)
    assert stages == ["fold", "fold", "prepare"]


def test_an_error_is_one_message_and_the_run_failed(project: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        _mlflow(project, "run", ".", "--env-manager", "local", "-e", "train", "-P", "model=swin")
    output = str(caught.value)
    assert "error: unknown backbone 'swin' (did you mean 'swin_large'?)" in output
    assert "Traceback" not in output
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    (run,) = client.search_runs(["0"])
    assert run.info.status == "FAILED"
    # Not the random name that `mlflow run` gave it: nothing was trained.
    assert run.info.run_name == "train (not started)"
    assert "unknown backbone 'swin'" in run.data.tags["mlflow.note.content"]


def test_an_interrupted_run_ends_killed(project: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    command = ["-m", "entrypoints.train", "--set", f"{_QUICK} train.epochs=500"]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=project,
        env=own | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("    1 "):  # the first epoch's line
            break
    # What a terminal and `mlflow run` do together on Ctrl-C.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    assert process.wait(timeout=60) != 0
    assert "Traceback" not in rest, rest
    runs = MlflowClient(f"sqlite:///{project}/mlflow.db").search_runs(["0"])
    status = {run.data.tags["carvision.stage"]: run.info.status for run in runs}
    assert status == {"prepare": "FINISHED", "train": "KILLED", "fold": "KILLED"}


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server on loopback: SQLite, artifacts through the server."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "mlflow"), "server", "--port", str(port)]
    options = ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    options += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(f"{address}/health", process)
            yield address
        finally:
            os.killpg(process.pid, 15)
            process.wait(timeout=30)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the tracking server did not start")


def test_the_whole_chain_with_a_remote_server(project: Path, server: str, photos: Path) -> None:
    local = ["run", ".", "--env-manager", "local"]
    remote = {"MLFLOW_TRACKING_URI": server}
    settings = ["-P", f"set={_QUICK}", "-P", f"data={photos}"]
    models = ["-P", "model=efficientnet_lite0,efficientnet_lite1", "-P", "trials=20"]
    output = _mlflow(project, *local, *models, *settings, **remote)
    assert f"{server}/#/experiments/" in output
    assert len(pd.read_csv(project / "submission.csv", encoding="utf-8-sig")) == 6
    _mlflow(project, *local, "-e", "ensemble", "-P", "output=again.csv", **remote)
    first, second = (project / "submission.csv").read_bytes(), (project / "again.csv").read_bytes()
    assert first == second
    client = MlflowClient(server)
    names = {model.name for model in client.search_registered_models()}
    assert names == {
        "carvision-ensemble",
        "carvision-efficientnet_lite0",
        "carvision-efficientnet_lite1",
    }
    # Nothing of it was written to a store of the project's own.
    assert not (project / "mlflow.db").exists()

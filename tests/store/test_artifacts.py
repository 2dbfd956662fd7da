"""Artifacts on a disk of this machine are linked; a server's are downloaded."""

from types import SimpleNamespace

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from carvision.errors import GoneError
from carvision.store import artifacts
from carvision.store.artifacts import fetch, linked, local_folder


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "run" / "artifacts"
    (root / "checkpoint" / "deeper").mkdir(parents=True)
    (root / "checkpoint" / "best.safetensors").write_bytes(b"weights")
    (root / "checkpoint" / "deeper" / "a b.json").write_bytes(b"{}")
    return root


def test_a_file_is_the_same_file(folder, tmp_path):
    found = linked(folder, "checkpoint/best.safetensors", tmp_path / "into")
    assert found == tmp_path / "into" / "best.safetensors"
    assert found.samefile(folder / "checkpoint" / "best.safetensors")


def test_a_folder_holds_the_same_files(folder, tmp_path):
    found = linked(folder, "checkpoint", tmp_path / "into")
    names = sorted(p.relative_to(found).as_posix() for p in found.rglob("*") if p.is_file())
    assert names == ["best.safetensors", "deeper/a b.json"]
    for name in names:
        assert (found / name).samefile(folder / "checkpoint" / name)


def test_what_was_fetched_before_is_fetched_again(folder, tmp_path):
    for content in (b"first", b"second"):
        source = folder / "checkpoint" / "best.safetensors"
        source.unlink()
        source.write_bytes(content)
        assert linked(folder, "checkpoint", tmp_path / "into").is_dir()
        assert (tmp_path / "into/checkpoint/best.safetensors").read_bytes() == content


def test_what_is_gone_is_said(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such artifact: .*predictions"):
        linked(folder, "predictions", tmp_path / "into")


@pytest.mark.parametrize(
    "uri",
    ["mlflow-artifacts:/0/run/artifacts", "http://127.0.0.1:9/api/artifacts", "s3://bucket/0"],
)
def test_a_servers_artifacts_are_on_no_disk_of_ours(uri):
    assert local_folder(uri) is None


def test_a_local_path_is_a_folder_whatever_its_spelling(folder):
    assert local_folder(str(folder)) == folder
    assert local_folder(folder.as_uri()) == folder


def test_a_runs_artifact_is_linked(store, tmp_path):
    with mlflow.start_run() as run:
        mlflow.log_text("{}", "predictions/views.json")
    found = fetch(run.info.run_id, "predictions", store / "into")
    assert found == store / "into" / "predictions"
    assert (found / "views.json").stat().st_nlink == 2


def test_an_artifact_that_is_gone_is_asked_for_once(tmp_path, monkeypatch, caplog):
    """A server that answers is not waited for: MLflow's error is the same as in an outage."""
    asked = []

    def download(**named):
        asked.append(named["artifact_path"])
        raise MlflowException("API request failed with too many 500 error responses")

    run = SimpleNamespace(info=SimpleNamespace(artifact_uri="mlflow-artifacts:/1"))
    registry = SimpleNamespace(get_run=lambda run_id: run, list_artifacts=lambda *where: [])
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://127.0.0.1:5000")
    monkeypatch.setattr(artifacts, "unreachable", lambda: None)
    monkeypatch.setattr(artifacts, "client", lambda: registry)
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    with pytest.raises(GoneError, match="run abc has no manifest any more"):
        fetch("abc", "manifest", tmp_path)
    assert asked == ["manifest"]
    assert caplog.text == ""

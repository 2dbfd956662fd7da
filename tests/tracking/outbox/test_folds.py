"""A fold's result: in its run once and whole, or on the disk."""

import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from carvision.contracts.checksums import sums_of
from carvision.errors import TrackingError
from carvision.files import write_json
from carvision.store.client import client
from carvision.store.fold_sets import usable_folds
from carvision.store.open_runs import tracked_run
from carvision.store.tags import FOLD, SET
from carvision.tracking.event_log import EventLog
from carvision.tracking.outbox import delivery, folds
from carvision.tracking.outbox.folds import (
    deliver,
    deliver_all,
    is_finished,
    waiting_metrics,
    write_finished,
)
from carvision.workspace import FOLDS
from tests.fold_results import fold_result
from tests.tracking_server import METRICS, points

_TAGS = {SET: "set", FOLD: "1"}


@pytest.fixture(autouse=True)
def _quick(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PAUSES", (0.0, 0.0))


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Path:
    """A fold's folder, in a set of the test's own."""
    return FOLDS / request.node.name.translate(str.maketrans("[]", "__")) / "fold1"


def _finish(folder: Path, run_id: str | None = None) -> dict[str, str]:
    """Write a result and two epochs of its log; return the tags of its run."""
    log = EventLog(folder / "events.jsonl", run_id)
    for epoch in (1, 2):
        log.epoch_ended(epoch, METRICS)
    (folder / "step00000002.pt").touch()
    (folder / "best.safetensors").write_bytes(b"weights")
    tags = {SET: folder.parent.name, FOLD: "1"}
    write_finished(folder, fold_result(folder), "fold", tags)
    return tags


def _check(run_id: str, folder: Path) -> None:
    """All of it is in the run, once."""
    assert points(client(), run_id) == [(1, 2.5), (2, 2.5)]
    assert points(client(), run_id, "best/val_log_loss") == [(0, 0.5)]
    assert usable_folds(folder.parent.name)[1].info.run_id == run_id
    assert {file.path for file in client().list_artifacts(run_id)} == {
        "checkpoint",
        "events.jsonl",
        "predictions",
    }
    assert not folder.parent.exists()


def test_into_the_run_that_is_open(folder: Path) -> None:
    with tracked_run("fold", "fold") as run:
        _finish(folder, run.info.run_id)
        assert is_finished(folder)
        assert not list(folder.glob("*.pt"))
        assert waiting_metrics(folder)["best/val_log_loss"] == 0.5
        assert deliver(folder, run) == [1, 2]
        assert client().get_run(run.info.run_id).info.status == "FINISHED"
    assert not is_finished(folder)
    assert waiting_metrics(folder) == {}
    _check(run.info.run_id, folder)


def test_into_a_run_of_its_own(folder: Path) -> None:
    """For a fold that was trained while the server was away."""
    tags = _finish(folder)
    assert deliver(folder) == [1, 2]
    (run,) = usable_folds(tags[SET]).values()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "fold")
    _check(run.info.run_id, folder)


def test_a_result_that_has_to_wait(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def refuse(*arguments: object) -> None:
        tries.append(arguments)
        raise MlflowException("no room")

    with monkeypatch.context() as patch, tracked_run("fold", "fold") as run:
        patch.setattr(folds, "send", refuse)
        _finish(folder, run.info.run_id)
        assert deliver(folder, run) is None
    assert len(tries) == 3
    assert f"{folder} is finished and cannot be logged yet (no room)" in caplog.text
    assert client().get_run(run.info.run_id).info.status == "KILLED"
    assert deliver_all(folder.parent) == []
    _check(run.info.run_id, folder)


def test_a_run_that_was_deleted_gets_a_new_one(folder: Path) -> None:
    with tracked_run("fold", "fold") as run:
        tags = _finish(folder, run.info.run_id)
        client().delete_run(run.info.run_id)
        assert deliver(folder, run) is None
    assert deliver(folder) == [1, 2]
    (new,) = usable_folds(tags[SET]).values()
    assert new.info.run_id != run.info.run_id
    _check(new.info.run_id, folder)


def test_killed_while_its_files_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with (
        monkeypatch.context() as patch,
        pytest.raises(KeyboardInterrupt),
        tracked_run("fold", "fold") as run,
    ):
        patch.setattr(shutil, "rmtree", killed)
        _finish(folder, run.info.run_id)
        deliver(folder, run)
    assert client().get_run(run.info.run_id).info.status == "FINISHED"
    assert folder.exists()
    assert not is_finished(folder)
    assert deliver_all(folder.parent) == []
    _check(run.info.run_id, folder)


def test_a_result_of_an_earlier_version_is_delivered(folder: Path) -> None:
    with mlflow.start_run(run_name="begun") as run:
        run_id = run.info.run_id
    EventLog(folder / "events.jsonl", run_id).epoch_ended(1, METRICS)
    artifacts = folder / "finished/artifacts"
    for name in (
        "checkpoint/best.safetensors",
        "predictions/index.parquet",
        "predictions/views.json",
        "predictions/log_probabilities.npy",
        "predictions/true_class.npy",
    ):
        (artifacts / name).parent.mkdir(parents=True, exist_ok=True)
        (artifacts / name).write_text(name)
    tags = {SET: folder.parent.name, FOLD: "1", "carvision.sha256": sums_of(artifacts)}
    about = {"name": "old", "tags": tags, "metrics": {"best/epoch": 1.0}, "time": 1764000000000}
    write_json(folder / "finished/about.json", about)
    assert deliver(folder) == [1]
    (found,) = usable_folds(folder.parent.name).values()
    assert (found.info.run_id, found.info.run_name) == (run_id, "old")
    assert found.data.metrics["best/epoch"] == 1.0
    assert not folder.parent.exists()


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"name": 3, "tags": {}, "metrics": {}, "time": 1}',
        '{"name": "a", "tags": {"x": 1}, "metrics": {}, "time": 1}',
        '{"name": "a", "tags": {}, "metrics": {"x": "y"}, "time": 1}',
        '{"name": "a", "tags": {}, "metrics": {}, "time": "now"}',
        "[" * 100_000,
    ],
)
def test_a_damaged_result_is_one_sentence(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished/about.json").write_text(content)
    assert deliver(tmp_path) is None
    (message,) = caplog.messages
    assert "about.json is damaged (" in message
    assert f"; remove {tmp_path}, and the fold is trained again" in message


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"metrics": {"x": "y"}}', "[" * 100_000])
def test_damaged_metrics_are_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "finished").mkdir()
    (tmp_path / "finished/about.json").write_text(content)
    with pytest.raises(TrackingError, match=r"about\.json is damaged .*; remove .* trained again"):
        waiting_metrics(tmp_path)

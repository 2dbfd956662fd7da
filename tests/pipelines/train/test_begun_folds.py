"""What an earlier process left of a fold: what goes on, and what is named before it begins anew."""

import logging
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run, RunData, RunInfo
from mlflow.exceptions import MlflowException

from carvision.files import read_json, write_json
from carvision.pipelines.train import begun_folds
from carvision.pipelines.train.begun_folds import announce_others, begun_after, begun_batch_size
from carvision.tracking.event_log import EVENTS_FILE, EventLog, read_events
from carvision.training import CheckpointWriter
from carvision.training.job import FoldJob
from tests.jobs import job_of


def _begun(job: FoldJob) -> Path:
    """The folder of a fold that was begun and stopped."""
    announce_others(job)
    (job.folder / "step00000001.pt").touch()
    return job.folder


def test_a_fold_that_was_finished_elsewhere_meanwhile_is_taken_over(tmp_path: Path) -> None:
    job = replace(job_of(), home=tmp_path)
    events = EventLog(job.folder / EVENTS_FILE, None)
    events.run_started("lite0 fold 1", 10)
    (begun,) = read_events(events.path)
    for seconds, anew in ((-60, True), (60, False)):
        ended = int(1000 * (begun.time + seconds))
        info = RunInfo("id", "0", "user", "FINISHED", 0, ended, "active")
        assert begun_after(job, Run(info, RunData())) == anew


@pytest.mark.parametrize("checkpoints", [0, 1])
def test_only_what_can_go_on_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, checkpoints: int
) -> None:
    """Equal settings in two folders differ in the weights' content."""
    (tmp_path / "weights.pth").write_bytes(b"weights")
    before = replace(job_of(f"model.weights={tmp_path / 'weights.pth'}"), home=tmp_path)
    now = replace(before, weights_sum="another")
    announce_others(before)
    if checkpoints:
        (before.folder / "step00000001.pt").touch()
    with caplog.at_level(logging.INFO, "carvision"):
        announce_others(now)
        other = before.config.model_copy(update={"name": "efficientnet_lite1"})
        announce_others(replace(now, config=other))
    assert caplog.text.count("model.weights: another file") == checkpoints
    assert caplog.text.count("is trained anew") == checkpoints


def test_other_data_and_classes_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """First, however much else differs: one photo excluded, two classes merged."""
    others = "optimizer.lr=0.1 seed=3 train.epochs=2 loss.name=focal train.batch_size=8"
    begun = _begun(replace(job_of(fingerprint="x", classes=("K5", "K5_Hybrid")), home=tmp_path))
    with caplog.at_level(logging.INFO, "carvision"):
        announce_others(replace(job_of(others, fingerprint="y", classes=("K5",)), home=tmp_path))
    (message,) = caplog.messages
    assert "classes: 2 → 1, without ['K5_Hybrid'], with [], data: x → y, loss.name: " in message
    assert "To go on with that, give it the same settings and data" in message
    assert str(begun) in message


def test_what_an_earlier_version_began_is_named_as_such(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It noted "a file" for weights, and another format of checkpoints."""
    begun = _begun(replace(job_of("optimizer.lr=0.001"), home=tmp_path))
    settings = read_json(begun / "settings.json")
    settings["model"]["weights"] = "a file"
    write_json(begun / "settings.json", settings | {"checkpoint": 2})
    with caplog.at_level(logging.INFO, "carvision"):
        announce_others(replace(job_of("optimizer.lr=0.002"), home=tmp_path))
    (message,) = caplog.messages
    assert "optimizer.lr: 0.001 → 0.002" in message
    assert "Only the version of carvision that began it can go on with it" in message


@pytest.mark.parametrize("content", ["", "[]", "null", '"x"', "[" * 100_000])
def test_damaged_settings_of_another_fold_are_passed_over(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = tmp_path / "a" / "fold1"
    begun.mkdir(parents=True)
    (begun / "settings.json").write_text(content)
    (begun / "step00000001.pt").touch()
    with caplog.at_level(logging.INFO, "carvision"):
        announce_others(replace(job_of(), home=tmp_path))
    assert "is trained anew" not in caplog.text


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sets that MLflow, which is away, was asked for."""
    sets: list[str] = []

    def away(set_id: str) -> None:
        sets.append(set_id)
        raise MlflowException("the server has gone")

    monkeypatch.setattr(begun_folds, "batch_size_of", away)
    return sets


def test_batch_sizes_on_the_disk_are_asked_first(store: Path, asked: list[str]) -> None:
    first = job_of()
    assert begun_batch_size(first) is None
    assert asked == [first.set_id]
    begun = first.of_fold(2).folder
    begun.mkdir(parents=True)
    checkpoints = CheckpointWriter(begun)
    checkpoints.write(1, {"batch_size": 32})
    checkpoints.write(2, {"batch_size": 32})
    checkpoints.wait()
    # What cannot be read is passed over, and left to the process whose it is.
    (begun / "step00000003.pt").write_bytes(b"half")
    assert begun_batch_size(first) == 32
    assert (begun / "step00000003.pt").exists()
    about = first.folder / "finished" / "about.json"
    write_json(about, {"metrics": {"train/batch_size": 64.0}})
    assert begun_batch_size(first) == 64
    assert asked == [first.set_id]


def test_a_server_that_is_away_is_not_waited_for(
    store: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://127.0.0.1:9")
    assert begun_batch_size(job_of("seed=1")) is None
    assert not asked

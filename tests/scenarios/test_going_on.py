"""A fold that was stopped goes on in its own child run, whatever stopped it."""

import json
import logging
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run, RunData, RunInfo

from carvision.config import load_config
from carvision.pipelines.train.begun_folds import announce_others, begun_after
from carvision.pipelines.train.step import train
from carvision.store.client import client
from carvision.store.runs import find_runs
from carvision.store.tags import PARENT
from carvision.tracking.event_log import EVENTS_FILE, EventLog, read_events, run_named_in
from carvision.tracking.progress_bar import TrainingProgress
from tests.conftest import write_photos

_SETTINGS = "data.folds=2 model.image_size=32 train.epochs=2 device=cpu precision=fp32"


def _train(root: Path, resume: str = "auto", settings: str = "") -> None:
    train([load_config(overrides=f"{_SETTINGS} {settings}")], str(root), "all", resume)


def _stop_in_second_fold(monkeypatch: pytest.MonkeyPatch, root: Path, settings: str) -> None:
    """Ctrl-C in the second fold's first epoch."""
    folds = []

    def started(self: TrainingProgress, description: str, total_steps: int) -> None:
        folds.append(description)

    def ended(self: TrainingProgress, step: int, loss: float) -> None:
        if len(folds) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "run_started", started)
        patch.setattr(TrainingProgress, "step_ended", ended)
        with pytest.raises(KeyboardInterrupt):
            _train(root, settings=settings)


def test_the_fold_goes_on_in_its_own_run(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = write_photos(tmp_path / "photos")
    with caplog.at_level(logging.INFO, "carvision"):
        _stop_in_second_fold(monkeypatch, root, "seed=11")
    assert "fold 2 stopped; the same command goes on from its checkpoint: python" in caplog.text
    runs = mlflow.search_runs(output_format="list", order_by=["attributes.start_time DESC"])
    (stopped,) = [run for run in runs if run.info.run_name == "efficientnet_lite0 fold 2"]
    assert stopped.info.status == "KILLED"
    # As a power failure leaves it: RUNNING, of a process before the reboot.
    former = client().get_run(stopped.data.tags[PARENT])
    process = json.loads(former.data.tags["carvision.process"])
    client().set_tag(former.info.run_id, "carvision.process", json.dumps({**process, "boot": "x"}))
    client().update_run(former.info.run_id, status="RUNNING")
    caplog.clear()
    with caplog.at_level(logging.INFO, "carvision"):
        _train(root, settings="seed=11")
    assert "fold 1: finished before" in caplog.text
    assert "fold 2: going on from" in caplog.text
    again = client().get_run(stopped.info.run_id)
    assert again.info.status == "FINISHED"
    # One metric an epoch: nothing was logged twice.
    history = client().get_metric_history(stopped.info.run_id, "val/log_loss")
    assert [metric.step for metric in history] == [1, 2]
    parent = find_runs("train", {})[0]
    assert again.data.tags[PARENT] == parent.info.run_id
    assert client().get_run(former.info.run_id).info.status == "KILLED"
    assert not list(Path("work/folds").glob("*"))


def test_never_starts_anew(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = write_photos(tmp_path / "photos")
    _stop_in_second_fold(monkeypatch, root, "seed=12")
    with caplog.at_level(logging.INFO, "carvision"):
        _train(root, "never", "seed=12")
    assert "going on from" not in caplog.text


def test_never_that_was_stopped_goes_on(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With auto, as Ctrl-C prints the command: what was finished before is not taken over."""
    root = write_photos(tmp_path / "photos")
    config = load_config(overrides=f"{_SETTINGS} seed=15")
    (before,) = train([config], str(root), "1", "auto")

    def stop(self: TrainingProgress, step: int, loss: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingProgress, "step_ended", stop)
        train([config], str(root), "1", "never")
    with caplog.at_level(logging.INFO, "carvision"):
        (version,) = train([config], str(root), "1", "auto")
    assert "fold 1: going on from" in caplog.text
    assert version.fold_runs != before.fold_runs
    assert not list(Path("work/folds").glob("*"))


def test_a_fold_that_was_finished_elsewhere_meanwhile_is_taken_over(tmp_path: Path) -> None:
    events = EventLog(tmp_path / EVENTS_FILE, None)
    events.run_started("lite0 fold 1", 10)
    (begun,) = read_events(events.path)
    for seconds, anew in ((-60, True), (60, False)):
        ended = int(1000 * (begun.time + seconds))
        info = RunInfo("id", "0", "user", "FINISHED", 0, ended, "active")
        assert begun_after(Run(info, RunData()), tmp_path) == anew


def test_other_settings_are_named_before_a_fold_is_trained_anew(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = write_photos(tmp_path / "photos")
    _stop_in_second_fold(monkeypatch, root, "seed=13 optimizer.lr=0.001")
    (begun,) = Path("work/folds").glob("*/fold2")
    with caplog.at_level(logging.INFO, "carvision"):
        _train(root, settings="seed=13 optimizer.lr=0.002")
    # Of fold 1, which is finished, there is nothing to go on with.
    (told,) = [record.message for record in caplog.records if "trained anew" in record.message]
    assert told.startswith("efficientnet_lite0 fold 2 is trained anew")
    assert "optimizer.lr: 0.001 → 0.002" in told
    assert str(begun) in told
    caplog.clear()
    with caplog.at_level(logging.INFO, "carvision"):
        _train(root, settings="seed=13 optimizer.lr=0.001")
    assert "fold 2: going on from" in caplog.text
    assert "trained anew" not in caplog.text
    assert not begun.exists()


def test_a_run_that_was_deleted_is_followed_by_one_that_has_all_epochs(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_photos(tmp_path / "photos")

    def stop(self: TrainingProgress, epoch: int, metrics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingProgress, "epoch_ended", stop)
        _train(root, settings="seed=14")
    (log,) = Path("work/folds").glob("*/fold1/events.jsonl")
    begun = run_named_in(read_events(log))
    assert [m.step for m in client().get_metric_history(begun, "val/log_loss")] == [1]
    client().delete_run(begun)
    _train(root, settings="seed=14")
    runs = find_runs("fold", {"carvision.set": log.parts[-3], "carvision.fold": "1"})
    (run_id,) = [run.info.run_id for run in runs]
    assert run_id != begun
    assert [m.step for m in client().get_metric_history(run_id, "val/log_loss")] == [1, 2]


@pytest.mark.parametrize("checkpoints", [0, 1])
def test_only_what_can_go_on_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, checkpoints: int
) -> None:
    """Equal settings in two folders differ in the weights' content."""
    identity = {"name": "lite0", "data": "x", "model": {"weights": "a sum"}}
    other, folder = tmp_path / "a" / "fold1", tmp_path / "b" / "fold1"
    announce_others("lite0 fold 1", other, identity)
    if checkpoints:
        (other / "step00000001.pt").touch()
    with caplog.at_level(logging.INFO, "carvision"):
        announce_others("lite0 fold 1", folder, identity)
        announce_others("lite0 fold 1", folder, identity | {"name": "lite1"})
    assert caplog.text.count("model.weights: another file") == checkpoints
    assert caplog.text.count("is trained anew") == checkpoints


def test_other_data_and_classes_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """First, however much else differs: one photo excluded, two classes merged."""
    settings = {f"a{i}": 0 for i in range(6)}
    before = {"name": "lite0", "data": "x", "classes": ["K5", "K5_Hybrid"], **settings}
    now = {"name": "lite0", "data": "y", "classes": ["K5"], **dict.fromkeys(settings, 1)}
    begun = tmp_path / "a" / "fold1"
    announce_others("lite0 fold 1", begun, before)
    (begun / "step00000001.pt").touch()
    with caplog.at_level(logging.INFO, "carvision"):
        announce_others("lite0 fold 1", tmp_path / "b" / "fold1", now)
    (told,) = caplog.messages
    assert "classes: 2 → 1, without ['K5_Hybrid'], with [], data: x → y, a0: 0 → 1" in told
    assert str(begun) in told


@pytest.mark.parametrize("content", ["", "[]", "null", '"x"', "[" * 100_000])
def test_damaged_settings_of_another_fold_are_passed_over(content: str, tmp_path: Path) -> None:
    begun = tmp_path / "a" / "fold1"
    begun.mkdir(parents=True)
    (begun / "settings.json").write_text(content)
    (begun / "step00000001.pt").touch()
    announce_others("lite0 fold 1", tmp_path / "b" / "fold1", {"name": "lite0"})

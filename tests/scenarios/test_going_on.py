"""A fold that was stopped goes on in its own child run, whatever stopped it."""

import json
import logging
from pathlib import Path

import mlflow
import pytest

from carvision.config import load_config
from carvision.errors import IncompleteError
from carvision.pipelines.train.step import train
from carvision.store.client import client
from carvision.store.runs import find_runs
from carvision.store.tags import PARENT
from carvision.tracking.event_log import read_events, run_named_in
from carvision.tracking.progress_bar import TrainingProgress
from carvision.training import CheckpointWriter
from carvision.training.checkpoint import peek_checkpoint
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
    """Also where nothing else is possible, for an earlier version wrote the checkpoint."""
    root = write_photos(tmp_path / "photos")
    _stop_in_second_fold(monkeypatch, root, "seed=12")
    (folder,) = Path("work/folds").glob("*/fold2")
    state = peek_checkpoint(folder)
    assert state is not None
    writer = CheckpointWriter(folder)
    writer.write(99, state | {"identity": json.dumps(state["identity"] | {"checkpoint": 2})})
    writer.wait()
    with pytest.raises(IncompleteError, match="written by another version of carvision"):
        _train(root, "auto", "seed=12")
    with caplog.at_level(logging.INFO, "carvision"):
        _train(root, "never", "seed=12")
    assert "going on from" not in caplog.text
    assert not folder.exists()


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

"""A fold that was stopped goes on in its own child run, whatever stopped it."""

import logging
from pathlib import Path

import mlflow
import pytest

from carvision.config import load_config
from carvision.pipelines import train
from carvision.reporting.training_progress import TrainingProgress
from carvision.tracking.store import client, find_runs
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
    assert again.data.tags["mlflow.parentRunId"] == parent.info.run_id
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

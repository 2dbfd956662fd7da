"""The tracking server goes away while tune or ensemble computes: nothing is lost, or done twice."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from carvision.config import load_config
from carvision.errors import TrackingError
from carvision.pipelines.command import command_run
from carvision.pipelines.ensemble.step import ensemble
from carvision.pipelines.prepare.step import prepare
from carvision.pipelines.sync import sync
from carvision.pipelines.train.step import train
from carvision.pipelines.tune.step import tune
from carvision.store.champions import champion_ensemble
from carvision.store.runs import find_runs
from carvision.tracking.outbox import delivery
from carvision.workspace import OUTBOX
from tests.tracking_server import Server

_SETTINGS = "data.folds=2 model.image_size=32 train.epochs=1 precision=fp32 device=cpu"


def _during(patch: pytest.MonkeyPatch, module: str, step: str, action: Callable[[], None]) -> None:
    """Do ``action`` when ``step``, a function that a pipeline's ``module`` calls, begins."""
    pipeline = sys.modules[f"carvision.pipelines.{module}"]
    original = getattr(pipeline, step)

    def called(*arguments: Any, **named: Any) -> Any:
        action()
        return original(*arguments, **named)

    patch.setattr(pipeline, step, called)


def test_the_server_goes_away_during_tune_and_ensemble(
    server: tuple[Server, MlflowClient],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    remote, client = server
    caplog.set_level(logging.INFO, "carvision")
    monkeypatch.setattr(delivery, "PAUSES", (0.01,))
    config = load_config("efficientnet_lite0", overrides=_SETTINGS)
    train([config], str(photos), "all", "auto")

    with monkeypatch.context() as patch:
        _during(patch, "tune.leaderboard_report", "show_leaderboard", remote.stop)
        with pytest.raises(TrackingError, match=r"run tune are not in MLflow.*\n.*work/outbox"):
            tune(config, "latest", [], 3)
    (record,) = [path for path in OUTBOX.iterdir() if path.is_dir()]
    remote.start()
    mlflow.set_tracking_uri(remote.uri)
    assert champion_ensemble() is None
    assert sync(Path("work/folds")) == 0
    assert not list(OUTBOX.iterdir())
    version, spec = champion_ensemble() or pytest.fail("nothing was registered")
    (run,) = find_runs("tune", {})
    assert run.info.run_id == record.name
    assert run.data.tags["carvision.crowned"] == "true"
    assert run.data.metrics["oof/log_loss"] == spec.score.log_loss
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"leaderboard.csv", "ensemble.html", "ensemble.json"} <= files

    output = tmp_path / "submission.csv"
    with monkeypatch.context() as patch:
        _during(patch, "ensemble.step", "build_submission", remote.stop)
        ensemble(config, "latest", test="", output=output, tta_steps=5)
    assert len(pd.read_csv(output)) == 6
    assert "the results of run ensemble are not in MLflow yet" in caplog.text
    remote.start()
    mlflow.set_tracking_uri(remote.uri)
    prepare(config, str(photos))
    assert not list(OUTBOX.iterdir())
    (run,) = find_runs("ensemble", {})
    assert run.data.metrics["test/log_loss"] > 0
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"submission.csv", "predictions", "forecast.html", "confidence.csv"} <= files
    assert sync(Path("work/folds")) == 0
    assert champion_ensemble() == (version, spec)


def test_a_server_that_is_away_at_the_start_is_said_at_once(
    server: tuple[Server, MlflowClient],
) -> None:
    server[0].stop()
    with pytest.raises(TrackingError, match="cannot be reached"), command_run("tune", "tune"):
        pass
    config = load_config("efficientnet_lite0", overrides=_SETTINGS)
    with pytest.raises(TrackingError, match="cannot be reached"):
        prepare(config, "latest")

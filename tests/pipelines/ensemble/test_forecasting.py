"""What an ensemble run says of the score to come."""

import logging
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run
from scipy.special import log_softmax

from carvision.config import Config, load_config
from carvision.contracts import VIEWS, EnsembleOof
from carvision.files import scratch_folder
from carvision.pipelines.ensemble.forecasting import fetch_oof_photos
from carvision.pipelines.ensemble.step import ensemble
from carvision.pipelines.prepare.prepared_data import known_manifest
from carvision.pipelines.train.step import train
from carvision.pipelines.tune.step import tune
from carvision.store.artifacts import fetch
from carvision.store.champions import champion_ensemble
from carvision.store.client import client
from carvision.store.ensemble_oof import write_oof_artifacts
from carvision.store.runs import find_runs
from tests.conftest import SAME_CLASSES

_SETTINGS = "data.folds=2 model.image_size=32 train.epochs=1 precision=fp32 device=cpu"
_FORECAST = {
    f"forecast/{name}"
    for name in (
        "log_loss",
        "log_loss_low",
        "log_loss_high",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
    )
}


def _config() -> Config:
    groups = str(SAME_CLASSES).replace("'", "").replace(" ", "")
    return load_config("efficientnet_lite0", overrides=f"{_SETTINGS} data.same_classes={groups}")


def _ensemble(output: Path) -> Run:
    ensemble(_config(), "latest", test="", output=output, tta_steps=5)
    return find_runs("ensemble", {})[0]


def _page(run: Run, folder: Path) -> str:
    return fetch(run.info.run_id, "forecast.html", folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def untuned(store: Path, photos: Path) -> Run:
    train([_config()], str(photos), "all", "auto")
    return _ensemble(store / "plan.csv")


@pytest.fixture(scope="module")
def tuned(untuned: Run, store: Path) -> Run:
    """The ensemble's run, whose tuning kept its out-of-fold photos."""
    tune(_config(), "latest", [], 10)
    manifest = known_manifest(_config(), "latest")
    rows = manifest.usable
    log_p = log_softmax(np.random.default_rng(0).normal(0, 1, (len(rows), 3)), axis=1)
    losses = -log_p[np.arange(len(rows)), rows["class_index"]]
    with mlflow.start_run(run_id=find_runs("tune", {})[0].info.run_id):
        folds = {"efficientnet_lite0": (1, 2)}
        oof = EnsembleOof.of(rows, log_p, losses, 0.01, folds, log_p.argmax(axis=1))
        with scratch_folder() as folder:
            mlflow.set_tags(write_oof_artifacts(folder, oof))
            mlflow.log_artifacts(str(folder))
    return _ensemble(store / "submission.csv")


def test_the_plan_has_no_forecast(untuned: Run, tmp_path: Path) -> None:
    assert not _FORECAST & set(untuned.data.metrics)
    assert "No forecast: the plan&#39;s weights were never tried" in _page(untuned, tmp_path)


def test_a_tuned_ensemble_has_one(tuned: Run, tmp_path: Path) -> None:
    metrics = tuned.data.metrics
    assert set(metrics) >= _FORECAST
    low, high = metrics["forecast/log_loss_low"], metrics["forecast/log_loss_high"]
    assert 0 < low < metrics["forecast/log_loss"] < high
    page = _page(tuned, tmp_path)
    assert f"<td>{metrics['forecast/log_loss']:.4f}</td>" in page
    assert f"<td>{metrics['test/log_loss']:.4f}</td>" in page, "the truth is known here"
    assert page.count("truth: ") >= 6


def test_how_sure_it_is_of_each_photo(tuned: Run, photos: Path, tmp_path: Path) -> None:
    path = fetch(tuned.info.run_id, "confidence.csv", tmp_path)
    table = pd.read_csv(path, encoding="utf-8-sig").set_index("image_id")
    path = fetch(tuned.info.run_id, "submission.csv", tmp_path)
    submission = pd.read_csv(path, encoding="utf-8-sig").set_index("ID")
    assert sorted(table.index) == sorted(submission.index)
    expected = submission.loc[table.index].max(axis=1)
    np.testing.assert_allclose(table["confidence"], expected, rtol=1e-6)


def test_fewer_views_than_were_tuned_have_no_forecast(tuned: Run) -> None:
    champion = champion_ensemble()
    assert champion is not None
    version, spec = champion
    assert isinstance(fetch_oof_photos(version, spec, spec.with_views(VIEWS)), EnsembleOof)
    (member,) = spec.members
    # Whatever the tuning chose, here both views count.
    both = member.model_copy(
        update={
            "weights": {"original": 0.5, "hflip": 0.5},
            "temperatures": {"original": 1.0, "hflip": 1.0},
        }
    )
    given = spec.model_copy(update={"members": (both,)})
    assert isinstance(fetch_oof_photos(version, given, given.with_views(VIEWS[:2])), EnsembleOof)
    reason = fetch_oof_photos(version, given, given.with_views(VIEWS[:1]))
    assert reason == "tta_steps leaves out views that the ensemble was tuned with"


def test_a_damaged_record_does_not_stop_a_submission(
    tuned: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = find_runs("tune", {})[0].info.run_id
    client().log_text(run_id, "{}", "forecast_inputs.json")
    with caplog.at_level(logging.INFO, "carvision"):
        run = _ensemble(tmp_path / "submission.csv")
    assert "no forecast: " in caplog.text and "not the out-of-fold photos" in caplog.text
    assert not _FORECAST & set(run.data.metrics)
    assert (tmp_path / "submission.csv").exists()

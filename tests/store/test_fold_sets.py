"""A fold set's runs, and what is fetched from them."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from carvision.contracts import VIEWS, Predictions, write_predictions
from carvision.errors import GoneError, PredictionsError, WeightsError
from carvision.store import fold_sets
from carvision.store.artifacts import local_folder
from carvision.store.client import client
from carvision.store.fold_sets import (
    batch_size_of,
    fetch_epochs,
    fetch_predictions,
    fetch_true_class,
    fetch_weights,
    finished_folds,
    usable_folds,
)
from carvision.store.tags import FOLD, SET
from carvision.tracking.outbox.folds import deliver, write_finished
from carvision.training import FoldResult
from tests.fold_results import fold_result


def _logged(result: FoldResult, name: str) -> str:
    """The run of a fold that has been trained and logged."""
    result.weights.write_bytes(b"weights")
    folder = result.weights.parent / name / f"fold{result.fold}"
    write_finished(folder, result, "fold", {SET: name, FOLD: str(result.fold)})
    assert deliver(folder) is not None
    return str(finished_folds(name)[result.fold].info.run_id)


def test_a_folds_epochs_come_back(store: Path, tmp_path: Path) -> None:
    result = fold_result(tmp_path)
    run_id = _logged(result, "epochs")
    found = fetch_epochs(run_id, tmp_path / "into")
    assert found is not None and found.dtype == np.float32
    np.testing.assert_array_equal(found, result.epochs_true_class)
    # Into the same folder: the photos that its columns are of.
    index = fetch_true_class([run_id], tmp_path / "into").index
    assert index["image_id"].tolist() == ["b", "a"]
    with mlflow.start_run() as older:
        mlflow.log_dict({}, "predictions/views.json")
    assert fetch_epochs(older.info.run_id, tmp_path / "into") is None


def test_the_batch_size_of_a_set_is_its_newest_folds(store: Path, tmp_path: Path) -> None:
    assert batch_size_of("sizes") is None
    for fold, size in ((2, 16), (1, 32)):
        run_id = _logged(fold_result(tmp_path, fold, size), "sizes")
        metrics = client().get_run(run_id).data.metrics
        assert metrics["train/batch_size"] == size
        assert metrics["predict/seconds_per_1000"] == 6.25
        assert metrics["best/val_log_loss"] == 0.5
        assert batch_size_of("sizes") == size
    assert batch_size_of("another") is None


@pytest.mark.parametrize("tag", ["", "x", "0", "-1", "1.5", "../1"])
def test_a_run_without_a_fold_is_passed_over(
    tag: str, store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _logged(fold_result(tmp_path), f"odd {tag}")
    with mlflow.start_run(tags={SET: f"odd {tag}", "carvision.stage": "fold", FOLD: tag}) as run:
        pass
    assert list(finished_folds(f"odd {tag}")) == list(usable_folds(f"odd {tag}")) == [1]
    assert f"run {run.info.run_id} is passed over" in caplog.text


@pytest.mark.parametrize("name", ["index.parquet", "views.json", "true_class.npy"])
def test_changed_predictions_are_named(name: str, store: Path, tmp_path: Path) -> None:
    run_id = _logged(fold_result(tmp_path), f"changed {name}")
    fetch_true_class([run_id], tmp_path / "before")
    folder = tmp_path / "changed"
    folder.mkdir()
    changed = client().download_artifacts(run_id, f"predictions/{name}", str(folder))
    content = bytearray(Path(changed).read_bytes())
    content[len(content) // 2] ^= 1
    Path(changed).write_bytes(content)
    client().log_artifact(run_id, changed, "predictions")
    message = f"run {run_id} .*: predictions/{name} is not the file that was stored"
    with pytest.raises(PredictionsError, match=message):
        fetch_true_class([run_id], tmp_path / "after")
    with pytest.raises(PredictionsError, match=message):
        fetch_predictions([run_id], tmp_path / "all")


def test_changed_weights_are_not_taken(store: Path, tmp_path: Path) -> None:
    run_id = _logged(fold_result(tmp_path), "changed weights")
    runs = finished_folds("changed weights")
    (tmp_path / "into").mkdir()
    assert fetch_weights(runs, tmp_path / "into")[1].read_bytes() == b"weights"
    changed = tmp_path / "best.safetensors"
    changed.write_bytes(b"weightz")
    client().log_artifact(run_id, str(changed), "checkpoint")
    (tmp_path / "again").mkdir()
    with pytest.raises(WeightsError, match=rf"run {run_id} .*best\.safetensors is not the file"):
        fetch_weights(runs, tmp_path / "again")


@pytest.fixture
def predicted(store: Path, tmp_path: Path) -> str:
    """A run that holds predictions of three photos."""
    index = pd.DataFrame({"image_id": ["b", "가", "a"], "class_index": [1, 0, 1], "fold": 1})
    values = np.log(np.random.default_rng(0).dirichlet([1.0] * 4, (len(VIEWS), 3)))
    write_predictions(tmp_path / "made", Predictions(index, VIEWS, values.astype(np.float32)))
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tmp_path / "made"), "predictions")
    return str(run.info.run_id)


def _stored(run_id: str) -> Path:
    folder = local_folder(mlflow.get_run(run_id).info.artifact_uri)
    assert folder is not None
    return folder / "predictions"


def test_a_local_stores_predictions_are_not_copied(predicted: str, store: Path) -> None:
    (part,) = fetch_predictions([predicted], store / "into")
    assert part.index["image_id"].tolist() == ["b", "가", "a"]
    # A map of the stored file, which nobody can write to.
    assert isinstance(part.log_probabilities, np.memmap)
    read = Path(str(part.log_probabilities.filename))
    assert read.samefile(_stored(predicted) / "log_probabilities.npy")
    with pytest.raises(ValueError, match="read-only"):
        part.log_probabilities[0, 0, 0] = 1.0


def test_a_folder_that_is_gone_is_named(predicted: str, tmp_path: Path) -> None:
    shutil.rmtree(_stored(predicted))
    with pytest.raises(GoneError, match=f"run {predicted} has no predictions any more"):
        fetch_predictions([predicted], tmp_path / "into")


@pytest.mark.parametrize("gone", ["log_probabilities.npy", "index.parquet", "views.json"])
def test_files_that_are_gone_are_named(gone: str, predicted: str, tmp_path: Path) -> None:
    (_stored(predicted) / gone).unlink()
    with pytest.raises(PredictionsError, match=f"predictions.*{gone}"):
        fetch_predictions([predicted], tmp_path / "into")


def test_a_file_that_goes_away_while_its_sum_is_made_is_an_error_of_that_run(
    predicted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished(folder: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(folder / "index.parquet"))

    monkeypatch.setattr(fold_sets, "files_below", vanished)
    with pytest.raises(PredictionsError, match=f"run {predicted} .*index.parquet.*train the fold"):
        fetch_predictions([predicted], tmp_path / "into")

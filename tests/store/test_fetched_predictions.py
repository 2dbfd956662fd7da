"""Predictions on this disk are read where they are; what goes away meanwhile is named."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from carvision.contracts import VIEWS, Predictions, write_predictions
from carvision.errors import GoneError, PredictionsError
from carvision.store import fold_sets
from carvision.store.artifacts import local_folder
from carvision.store.fold_sets import fetch_predictions


@pytest.fixture
def run_id(store: Path, tmp_path: Path) -> str:
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


def test_a_local_stores_predictions_are_not_copied(run_id: str, store: Path) -> None:
    (part,) = fetch_predictions([run_id], store / "into")
    assert part.index["image_id"].tolist() == ["b", "가", "a"]
    # A map of the stored file, which nobody can write to.
    assert isinstance(part.log_probabilities, np.memmap)
    read = Path(str(part.log_probabilities.filename))
    assert read.samefile(_stored(run_id) / "log_probabilities.npy")
    with pytest.raises(ValueError, match="read-only"):
        part.log_probabilities[0, 0, 0] = 1.0


def test_a_folder_that_is_gone_is_named(run_id: str, tmp_path: Path) -> None:
    shutil.rmtree(_stored(run_id))
    with pytest.raises(GoneError, match=f"run {run_id} has no predictions any more"):
        fetch_predictions([run_id], tmp_path / "into")


@pytest.mark.parametrize("gone", ["log_probabilities.npy", "index.parquet", "views.json"])
def test_files_that_are_gone_are_named(gone: str, run_id: str, tmp_path: Path) -> None:
    (_stored(run_id) / gone).unlink()
    with pytest.raises(PredictionsError, match=f"predictions.*{gone}"):
        fetch_predictions([run_id], tmp_path / "into")


def test_a_file_that_goes_away_while_its_sum_is_made_is_an_error_of_that_run(
    run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished(run_id: str, folder: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(folder / "index.parquet"))

    monkeypatch.setattr(fold_sets, "_refuse_damaged_predictions", vanished)
    with pytest.raises(PredictionsError, match=f"run {run_id} .*index.parquet.*train the fold"):
        fetch_predictions([run_id], tmp_path / "into")

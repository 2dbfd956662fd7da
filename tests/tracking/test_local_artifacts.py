"""Predictions that lie on this disk are read where they are; others are fetched."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest

from carvision.contracts import VIEWS, Predictions, write_predictions
from carvision.errors import PredictionsError
from carvision.tracking import fold_sets, local_artifacts
from carvision.tracking.fold_sets import fetch_predictions
from carvision.tracking.local_artifacts import in_place


@pytest.fixture
def run_id(store: Path, tmp_path: Path) -> str:
    """A run that holds predictions of three photos."""
    index = pd.DataFrame({"image_id": ["b", "가", "a"], "class_index": [1, 0, 1], "fold": 1})
    values = np.log(np.random.default_rng(0).dirichlet([1.0] * 4, (len(VIEWS), 3)))
    write_predictions(tmp_path / "made", Predictions(index, VIEWS, values.astype(np.float32)))
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(tmp_path / "made"), "predictions")
    return str(run.info.run_id)


def test_a_local_stores_predictions_are_not_copied(run_id: str, tmp_path: Path) -> None:
    into = tmp_path / "into"
    (part,) = fetch_predictions([run_id], into)
    assert not into.exists()
    assert part.index["image_id"].tolist() == ["b", "가", "a"]
    # A map of the stored file, which nobody can write to.
    assert isinstance(part.log_probabilities, np.memmap)
    assert (
        Path(str(part.log_probabilities.filename))
        == (in_place(run_id, "predictions") or Path()) / "log_probabilities.npy"
    )
    with pytest.raises(ValueError, match="read-only"):
        part.log_probabilities[0, 0, 0] = 1.0


@pytest.mark.parametrize(
    "uri",
    [
        "mlflow-artifacts:/0/1/artifacts",
        "mlflow-artifacts://server:5000/0/1/artifacts",
        "http://server/0/1/artifacts",
        "s3://bucket/0/1/artifacts",
    ],
)
def test_what_lies_elsewhere_is_not_looked_for_here(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SimpleNamespace(info=SimpleNamespace(artifact_uri=uri))
    monkeypatch.setattr(
        local_artifacts, "client", lambda: SimpleNamespace(get_run=lambda run_id: run)
    )
    assert in_place("1", "predictions") is None


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_local_path_in_either_spelling(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "with space"
    (folder / "predictions").mkdir(parents=True)
    place = folder.as_uri() if prefix else str(folder)
    run = SimpleNamespace(info=SimpleNamespace(artifact_uri=place))
    monkeypatch.setattr(
        local_artifacts, "client", lambda: SimpleNamespace(get_run=lambda run_id: run)
    )
    assert in_place("1", "predictions") == folder / "predictions"
    assert in_place("1", "other") is None


def test_a_remote_stores_predictions_are_fetched(
    run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_sets, "in_place", lambda run_id, path: None)
    (part,) = fetch_predictions([run_id], tmp_path / "into")
    assert str(part.log_probabilities.filename).startswith(str(tmp_path / "into"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("gone", ["log_probabilities.npy", "index.parquet", ""])
def test_files_that_go_away_meanwhile_are_named(
    gone: str, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = in_place(run_id, "predictions")
    assert folder is not None

    def meanwhile(run_id: str, path: str) -> Path:
        if gone:
            (folder / gone).unlink()
        else:
            shutil.rmtree(folder)
        return folder

    monkeypatch.setattr(fold_sets, "in_place", meanwhile)
    with pytest.raises(PredictionsError, match="predictions"):
        fetch_predictions([run_id], tmp_path / "into")


def test_a_file_that_goes_away_while_its_sum_is_made_is_an_error_of_that_run(
    run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished(run_id: str, folder: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(folder / "index.parquet"))

    monkeypatch.setattr(fold_sets, "_refuse_damaged_predictions", vanished)
    with pytest.raises(PredictionsError, match=f"run {run_id} .*index.parquet.*start again"):
        fetch_predictions([run_id], tmp_path / "into")

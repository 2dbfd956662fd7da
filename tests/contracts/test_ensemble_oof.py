"""The ensemble's out-of-fold photos: written, read, and refused where they cannot be right."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax
from scipy.stats import entropy

from carvision.contracts import EnsembleOof, read_ensemble_oof, write_ensemble_oof
from carvision.errors import PredictionsError
from carvision.metrics import CLIP

_LOG_P = log_softmax(np.random.default_rng(0).normal(0, 3, (6, 4)), axis=1)


def _index() -> pd.DataFrame:
    ids = [f"train/라브4/{i}.jpg" for i in range(6)]
    return pd.DataFrame(
        {"image_id": ids, "group": ids, "fold": [1, 2] * 3, "class_index": [0, 1, 2, 3, 0, 1]},
        index=range(10, 16),
    )


def _oof(**columns: object) -> EnsembleOof:
    losses = np.linspace(0, 2, 6)
    folds = {"efficientnet_lite0": (1, 2)}
    oof = EnsembleOof.of(_index(), _LOG_P, losses, 0.013, folds, _LOG_P.argmax(axis=1))
    return EnsembleOof(oof.photos.assign(**columns), oof.selection_optimism, oof.folds)


def test_what_is_kept_of_each_photo() -> None:
    photos = _oof().photos
    np.testing.assert_array_equal(photos["predicted"], _LOG_P.argmax(axis=1))
    np.testing.assert_allclose(photos["confidence"], np.exp(_LOG_P).max(axis=1))
    np.testing.assert_allclose(photos["entropy"], entropy(np.exp(_LOG_P), axis=1))


def test_a_zero_on_the_true_class_costs_what_it_is_clipped_to() -> None:
    losses = np.array([np.inf, 0, 0, 0, 0, 0.0])
    oof = EnsembleOof.of(_index(), _LOG_P, losses, 0.0, {}, _LOG_P.argmax(axis=1))
    assert oof.photos["log_loss"].tolist() == pytest.approx([-np.log(CLIP), 0, 0, 0, 0, 0])


def test_written_and_read_again(tmp_path: Path) -> None:
    write_ensemble_oof(tmp_path, _oof())
    read = read_ensemble_oof(tmp_path)
    pd.testing.assert_frame_equal(read.photos, _oof().photos)
    assert read.selection_optimism == 0.013
    assert read.folds == {"efficientnet_lite0": (1, 2)}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "forecast_inputs.json",
        "oof.parquet",
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"log_loss": [0, 0, np.nan, 0, 0, 0]}, r"log_loss of 'train/라브4/2\.jpg' is nan"),
        ({"log_loss": [0, -0.5, 0, 0, 0, 0]}, r"log_loss of 'train/라브4/1\.jpg' is -0\.5"),
        ({"confidence": [1.0, 1.2, 1, 1, 1, 1]}, r"confidence of .* is 1\.2, out of range"),
        ({"entropy": np.inf}, "entropy of .* is inf"),
        ({"image_id": ["a", "b", "c", "d", "a", "f"]}, "'a' stands twice"),
    ],
)
def test_values_out_of_range_are_refused(
    columns: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(PredictionsError, match=message):
        write_ensemble_oof(tmp_path, _oof(**columns))
    assert not list(tmp_path.iterdir())


def test_a_missing_column_no_photo_and_no_number_are_refused(tmp_path: Path) -> None:
    oof = _oof()
    for broken, message in [
        (EnsembleOof(oof.photos.drop(columns="group"), 0.0, {}), r"lack the columns \['group'\]"),
        (EnsembleOof(oof.photos.head(0), 0.0, {}), "no out-of-fold photo"),
        (EnsembleOof(oof.photos, float("nan"), {}), "selection_optimism is nan"),
    ]:
        with pytest.raises(PredictionsError, match=message):
            write_ensemble_oof(tmp_path, broken)


@pytest.mark.parametrize("name", ["oof.parquet", "forecast_inputs.json"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b"[" * 100_000])
def test_a_damaged_folder_is_refused(name: str, content: bytes | None, tmp_path: Path) -> None:
    write_ensemble_oof(tmp_path, _oof())
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PredictionsError, match="not the out-of-fold photos of an ensemble"):
        read_ensemble_oof(tmp_path)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(PredictionsError, match="expected as many of each"):
        EnsembleOof.of(_index(), _LOG_P, np.zeros(6), 0.0, {}, np.zeros(5, dtype=int))
    with pytest.raises(PredictionsError, match="6 photos, 5 predictions and 6 losses"):
        EnsembleOof.of(_index(), _LOG_P[:5], np.zeros(6), 0.0, {}, np.zeros(6, dtype=int))


def test_honest_classes_stand_beside_the_submitted_confidence() -> None:
    honest = np.array([3, 3, 0, 0, 1, 2])
    photos = EnsembleOof.of(_index(), _LOG_P, np.zeros(6), 0.0, {}, honest).photos
    np.testing.assert_array_equal(photos["predicted"], honest)
    np.testing.assert_allclose(photos["confidence"], np.exp(_LOG_P).max(axis=1))


def test_files_of_earlier_versions_say_whose_confidence_they_hold(tmp_path: Path) -> None:
    write_ensemble_oof(tmp_path, _oof())
    assert read_ensemble_oof(tmp_path).of_submitted
    path = tmp_path / "forecast_inputs.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({key: values[key] for key in ("selection_optimism", "folds")}))
    earlier = read_ensemble_oof(tmp_path)
    assert not earlier.of_submitted
    (tmp_path / "again").mkdir()
    write_ensemble_oof(tmp_path / "again", earlier)
    assert not read_ensemble_oof(tmp_path / "again").of_submitted
    path.write_text(json.dumps(values | {"of_submitted": "yes"}))
    with pytest.raises(PredictionsError, match="of_submitted is 'yes'"):
        read_ensemble_oof(tmp_path)

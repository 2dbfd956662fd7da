"""Stored predictions: written whole, read from disk as they are used, aligned by photo."""

import json

import numpy as np
import pandas as pd
import pytest

from carvision.contracts import (
    Predictions,
    TrueClass,
    concatenated,
    read_predictions,
    read_true_class,
    write_predictions,
)
from carvision.errors import PredictionsError

VIEWS = ("original", "hflip")


def _predictions(
    ids=("train/가/1.jpg", "train/b/2.jpg", "train/b/3.jpg"), labels=(0, 2, 1), **other
):
    generator = np.random.default_rng(len(ids))
    probabilities = generator.dirichlet(np.ones(3), (len(VIEWS), len(ids))).astype(np.float32)
    index = pd.DataFrame(
        {"image_id": list(ids), "class_index": list(labels), "fold": [1] * len(ids)}
    )
    values = {"index": index, "views": VIEWS, "log_probabilities": np.log(probabilities)}
    return Predictions(**(values | other))


def test_round_trip(tmp_path):
    predictions = _predictions()
    write_predictions(tmp_path / "oof", predictions)
    read = read_predictions(tmp_path / "oof")
    pd.testing.assert_frame_equal(read.index, predictions.index)
    assert read.views == VIEWS
    np.testing.assert_array_equal(read.log_probabilities, predictions.log_probabilities)
    assert read.log_probabilities.dtype == np.float32


def test_the_format_on_disk(tmp_path):
    write_predictions(tmp_path / "oof", _predictions())
    names = {path.name for path in (tmp_path / "oof").iterdir()}
    expected = {"index.parquet", "views.json", "log_probabilities.npy", "true_class.npy"}
    assert names == expected
    index = pd.read_parquet(tmp_path / "oof" / "index.parquet")
    assert list(index.columns) == ["image_id", "class_index", "fold"]
    assert json.loads((tmp_path / "oof" / "views.json").read_text()) == list(VIEWS)


def test_reading_leaves_the_values_on_disk(tmp_path):
    write_predictions(tmp_path / "oof", _predictions())
    read = read_predictions(tmp_path / "oof")
    assert isinstance(read.log_probabilities, np.memmap)
    assert not read.log_probabilities.flags.writeable
    assert isinstance(read_true_class(tmp_path / "oof").log_probabilities, np.memmap)


def test_writing_replaces_the_folder(tmp_path):
    write_predictions(tmp_path / "oof", _predictions())
    write_predictions(tmp_path / "oof", _predictions(labels=(-1, -1, -1)))
    assert not (tmp_path / "oof" / "true_class.npy").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["oof"]


def test_true_class(tmp_path):
    predictions = _predictions()
    write_predictions(tmp_path / "oof", predictions)
    expected = [
        [view[image, label] for image, label in enumerate((0, 2, 1))]
        for view in predictions.log_probabilities
    ]
    for true_class in (read_true_class(tmp_path / "oof"), predictions.true_class()):
        np.testing.assert_array_equal(true_class.log_probabilities, expected)
        assert true_class.log_probabilities.dtype == np.float32
        assert true_class.views == VIEWS


def test_photos_without_labels(tmp_path):
    predictions = _predictions(labels=(-1, -1, -1))
    assert not predictions.labelled
    with pytest.raises(PredictionsError, match="no labels"):
        predictions.true_class()
    write_predictions(tmp_path / "test", predictions)
    assert read_predictions(tmp_path / "test").index["class_index"].tolist() == [-1, -1, -1]
    with pytest.raises(PredictionsError, match=r"not a complete predictions folder.*true_class"):
        read_true_class(tmp_path / "test")


def test_a_photo_that_is_stored_twice(tmp_path):
    predictions = _predictions(ids=("a", "b", "a"))
    with pytest.raises(PredictionsError, match="'a' more than once"):
        write_predictions(tmp_path / "oof", predictions)
    assert list(tmp_path.iterdir()) == []


def test_nan_is_refused(tmp_path):
    predictions = _predictions()
    predictions.log_probabilities[1, 2, 0] = np.nan
    with pytest.raises(PredictionsError, match=r"'train/b/3.jpg' is NaN"):
        write_predictions(tmp_path / "oof", predictions)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 3, 3), (2, 3), (2, 3, 3, 1)])
def test_shapes_that_disagree(tmp_path, shape):
    with pytest.raises(PredictionsError, match="2 views of 3 photos"):
        write_predictions(
            tmp_path / "oof", _predictions(log_probabilities=np.zeros(shape, np.float32))
        )


@pytest.mark.parametrize("name", ["index.parquet", "views.json", "log_probabilities.npy"])
@pytest.mark.parametrize("content", [None, b"half of"])
def test_a_damaged_folder(tmp_path, name, content):
    write_predictions(tmp_path / "oof", _predictions())
    path = tmp_path / "oof" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PredictionsError, match="oof: not a complete predictions folder"):
        read_predictions(tmp_path / "oof")


@pytest.mark.parametrize("content", ["3", "null", '"original"', "{}", "[1]", "[" * 100_000])
def test_views_that_are_none(tmp_path, content):
    write_predictions(tmp_path / "oof", _predictions())
    (tmp_path / "oof/views.json").write_text(content)
    with pytest.raises(PredictionsError, match="oof: not a complete predictions folder"):
        read_predictions(tmp_path / "oof")


@pytest.mark.parametrize("column", ["image_id", "class_index", "fold"])
def test_an_index_without_a_column(tmp_path, column):
    write_predictions(tmp_path / "oof", _predictions())
    path = tmp_path / "oof/index.parquet"
    pd.read_parquet(path).drop(columns=column).to_parquet(path)
    with pytest.raises(PredictionsError, match=r"oof: not a complete predictions folder.*columns"):
        read_predictions(tmp_path / "oof")


def test_an_empty_array_file(tmp_path):
    write_predictions(tmp_path / "oof", _predictions())
    (tmp_path / "oof" / "log_probabilities.npy").write_bytes(b"")
    with pytest.raises(PredictionsError, match="oof: not a complete predictions folder"):
        read_predictions(tmp_path / "oof")


def test_files_that_do_not_fit_each_other(tmp_path):
    write_predictions(tmp_path / "oof", _predictions())
    (tmp_path / "oof" / "views.json").write_text('["original"]')
    for read in (read_predictions, read_true_class):
        with pytest.raises(PredictionsError, match="1 views of 3 photos"):
            read(tmp_path / "oof")


def test_stored_as_float32(tmp_path):
    values = _predictions().log_probabilities.astype(np.float64)
    write_predictions(tmp_path / "oof", _predictions(log_probabilities=values))
    assert read_predictions(tmp_path / "oof").log_probabilities.dtype == np.float32


def test_concatenated():
    whole = _predictions().true_class()
    parts = [
        TrueClass(whole.index.iloc[rows], whole.views, whole.log_probabilities[:, rows])
        for rows in (slice(0, 1), slice(1, None))
    ]
    joined = concatenated(parts)
    pd.testing.assert_frame_equal(joined.index, whole.index)
    np.testing.assert_array_equal(joined.log_probabilities, whole.log_probabilities)


def test_parts_of_different_views_are_refused():
    one = _predictions().true_class()
    other = TrueClass(one.index, one.views[::-1], one.log_probabilities)
    with pytest.raises(PredictionsError, match="different views"):
        concatenated([one, other])
    with pytest.raises(PredictionsError):
        concatenated([])

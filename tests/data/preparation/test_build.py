"""A manifest is built of what a folder holds, or the folder is refused with a reason."""

import os
import shutil
import unicodedata

import pandas as pd
import pytest
from PIL import Image

from carvision.config import SplitSettings
from carvision.data.folder.layout import Layout
from carvision.data.preparation.build import build_manifest
from carvision.errors import DataError
from tests.data.small_data import SPLIT, built_manifest, write_data, write_photo


def test_rows(tmp_path):
    manifest = built_manifest(write_data(tmp_path))
    frame = manifest.frame
    assert frame["image_id"].tolist() == sorted(frame["image_id"])
    assert len(frame) == 12
    assert manifest.classes.names == ("K5", "RAV4", "라브4")
    assert frame["label"].tolist() == ["K5"] * 4 + ["RAV4"] * 4 + ["라브4"] * 4
    assert frame["class_index"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert set(zip(frame["width"], frame["height"], strict=True)) == {(20, 12)}
    assert frame["content_hash"].nunique() == 12
    assert frame["perceptual_hash"].str.len().eq(16).all()
    assert frame["group"].tolist() == frame["image_id"].tolist()
    assert (frame["excluded"] == "").all()
    assert manifest.folds == 2
    assert pd.crosstab(frame["label"], frame["fold"]).to_numpy().tolist() == [[2, 2]] * 3


def test_size_is_the_size_as_shown(tmp_path):
    write_data(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 10)).save(tmp_path / "train/K5/K5_0.jpg", exif=exif)
    row = built_manifest(tmp_path).frame.iloc[0]
    assert (row["width"], row["height"]) == (10, 30)


@pytest.mark.parametrize("content", [b"", b"no photo", "truncated"])
def test_an_unreadable_photo_is_excluded_with_a_reason(tmp_path, content):
    path = write_data(tmp_path) / "train/K5/K5_0.jpg"
    path.write_bytes(path.read_bytes()[:-200] if content == "truncated" else content)
    manifest = built_manifest(tmp_path)
    row = manifest.frame.iloc[0]
    assert row["image_id"] == "train/K5/K5_0.jpg"
    assert row["excluded"].startswith("unreadable: ")
    assert (row["fold"], row["group"]) == (0, row["image_id"])
    assert row["image_id"] not in set(manifest.usable["image_id"])
    assert len(manifest.usable) == 11
    assert (manifest.usable["fold"] > 0).all()
    for part in manifest.split(1):
        assert row["image_id"] not in set(part["image_id"])


def test_equal_photos_share_a_group_and_a_fold(tmp_path):
    write_data(tmp_path, per_class=6)
    original = tmp_path / "train/K5/K5_3.jpg"
    shutil.copy(original, tmp_path / "train/K5/copy.jpg")
    shutil.copy(original, tmp_path / "train/RAV4/mislabelled.jpg")
    for seed in range(5):
        manifest = built_manifest(tmp_path, SplitSettings(folds=3, split_seed=seed))
        same = manifest.frame[manifest.frame["group"] == "train/K5/K5_3.jpg"]
        assert same["image_id"].tolist() == [
            "train/K5/K5_3.jpg",
            "train/K5/copy.jpg",
            "train/RAV4/mislabelled.jpg",
        ]
        assert same["fold"].nunique() == 1
        assert manifest.frame["group"].nunique() == 18


def test_equal_broken_files_are_no_group(tmp_path):
    write_data(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"train/K5/{name}.jpg").write_bytes(b"no photo")
    broken = built_manifest(tmp_path).frame.query("excluded != ''")
    assert broken["group"].tolist() == ["train/K5/a.jpg", "train/K5/b.jpg"]


def test_same_classes_are_one(tmp_path):
    manifest = built_manifest(
        write_data(tmp_path), SplitSettings(folds=4, same_classes=(("라브4", "RAV4"),))
    )
    assert manifest.classes.names == ("K5", "라브4")
    assert manifest.classes.folders == (("K5",), ("라브4", "RAV4"))
    # The label stays the folder's; the index is of the merged class.
    assert manifest.frame.groupby("label")["class_index"].unique().to_dict() == {
        "K5": [0],
        "RAV4": [1],
        "라브4": [1],
    }
    table = pd.crosstab(manifest.frame["class_index"], manifest.frame["fold"])
    assert table.to_numpy().tolist() == [[1] * 4, [2] * 4]


def test_refuses_data_that_cannot_be_used(tmp_path):
    (tmp_path / "train" / "K5").mkdir(parents=True)
    with pytest.raises(DataError, match="no photo in a class folder"):
        built_manifest(tmp_path)
    (tmp_path / "train/K5/a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 photos .*train/K5/a\.jpg: unreadable"):
        built_manifest(tmp_path)
    for i in range(3):
        write_photo(tmp_path / f"train/K5/{i}.jpg", i)
    with pytest.raises(DataError, match="single class, 'K5'"):
        built_manifest(tmp_path)
    write_photo(tmp_path / "train/RAV4/1.jpg", 4)
    with pytest.raises(DataError, match=r"RAV4 \(1\)"):
        built_manifest(tmp_path)


def test_image_ids_are_unique(tmp_path):
    write_data(tmp_path)
    write_photo(tmp_path / "train/K5" / unicodedata.normalize("NFC", "가.jpg"), 50)
    write_photo(tmp_path / "train/K5" / unicodedata.normalize("NFD", "가.jpg"), 51)
    if len(list((tmp_path / "train/K5").iterdir())) == 5:
        pytest.skip("this disk keeps one Unicode form")
    try:
        manifest = built_manifest(tmp_path)
    except DataError:
        return
    assert manifest.usable["image_id"].is_unique


def test_progress_counts_every_photo(tmp_path):
    layout = Layout.at(write_data(tmp_path))
    done = []
    build_manifest(layout, layout.training_photos(), SPLIT, done.append)
    assert sum(done) == 12


def test_two_encodings_of_one_name(tmp_path):
    write_data(tmp_path)
    for encoding in ("utf-8", "cp949"):
        write_photo(tmp_path / "train/K5" / os.fsdecode("가.jpg".encode(encoding)), 50)
    with pytest.raises(DataError, match="encoding of their names"):
        built_manifest(tmp_path)

"""The manifest names the data: the same everywhere, another when a photo or a fold changes."""

import os
import shutil
import unicodedata

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from carvision.config import SplitSettings
from carvision.data.layout import Layout
from carvision.data.manifest import Manifest, build_manifest, read_manifest, write_manifest
from carvision.errors import DataError

SPLIT = SplitSettings(folds=2)


def _photo(path, seed, size=(20, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _data(root, per_class=4):
    for k, name in enumerate(("K5", "라브4", "RAV4")):
        for i in range(per_class):
            _photo(root / "train" / name / f"{name}_{i}.jpg", 100 * k + i)
    return root


def _manifest(root, split=SPLIT):
    layout = Layout.at(root)
    return build_manifest(layout, layout.training_photos(), split)


def test_rows(tmp_path):
    manifest = _manifest(_data(tmp_path))
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


def test_split_into_training_and_validation(tmp_path):
    manifest = _manifest(_data(tmp_path))
    for fold in (1, 2):
        training, validation = manifest.split(fold)
        assert set(validation["fold"]) == {fold}
        assert fold not in set(training["fold"])
        both = [*training["image_id"], *validation["image_id"]]
        assert sorted(both) == manifest.frame["image_id"].tolist()


def test_size_is_the_size_as_shown(tmp_path):
    _data(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 10)).save(tmp_path / "train/K5/K5_0.jpg", exif=exif)
    row = _manifest(tmp_path).frame.iloc[0]
    assert (row["width"], row["height"]) == (10, 30)


def test_fingerprint_is_of_no_place_and_no_order(tmp_path):
    here = _manifest(_data(tmp_path / "here"))
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "deeper")
    there = _manifest(tmp_path / "there" / "deeper")
    assert there.fingerprint == here.fingerprint
    assert len(here.fingerprint) == 16
    shuffled = Manifest(here.frame.sample(frac=1, random_state=0), here.classes)
    assert shuffled.fingerprint == here.fingerprint


def test_fingerprint_is_of_no_place_with_an_unreadable_photo(tmp_path):
    _data(tmp_path / "here")
    (tmp_path / "here/train/K5/broken.jpg").write_bytes(b"no photo")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = _manifest(tmp_path / "here"), _manifest(tmp_path / "there")
    for fleeting in (str(tmp_path), " at 0x"):
        assert not here.frame["excluded"].str.contains(fleeting, regex=False).any()
    assert here.fingerprint == there.fingerprint


def test_fingerprint_sees_a_change(tmp_path):
    seen = {_manifest(_data(tmp_path)).fingerprint}
    for split in (
        SplitSettings(folds=3),
        SplitSettings(folds=2, split_seed=1),
        SplitSettings(folds=2, same_classes=(("RAV4", "라브4"),)),
    ):
        seen.add(_manifest(tmp_path, split).fingerprint)
    _photo(tmp_path / "train/K5/K5_0.jpg", 7)
    seen.add(_manifest(tmp_path).fingerprint)
    _photo(tmp_path / "train/K5/K5_9.jpg", 9)
    seen.add(_manifest(tmp_path).fingerprint)
    (tmp_path / "train/K5/K5_9.jpg").rename(tmp_path / "train/RAV4/K5_9.jpg")
    seen.add(_manifest(tmp_path).fingerprint)
    assert len(seen) == 7


@pytest.mark.parametrize("content", [b"", b"no photo", "truncated"])
def test_an_unreadable_photo_is_excluded_with_a_reason(tmp_path, content):
    path = _data(tmp_path) / "train/K5/K5_0.jpg"
    path.write_bytes(path.read_bytes()[:-200] if content == "truncated" else content)
    manifest = _manifest(tmp_path)
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
    _data(tmp_path, per_class=6)
    original = tmp_path / "train/K5/K5_3.jpg"
    shutil.copy(original, tmp_path / "train/K5/copy.jpg")
    shutil.copy(original, tmp_path / "train/RAV4/mislabelled.jpg")
    for seed in range(5):
        manifest = _manifest(tmp_path, SplitSettings(folds=3, split_seed=seed))
        same = manifest.frame[manifest.frame["group"] == "train/K5/K5_3.jpg"]
        assert same["image_id"].tolist() == [
            "train/K5/K5_3.jpg",
            "train/K5/copy.jpg",
            "train/RAV4/mislabelled.jpg",
        ]
        assert same["fold"].nunique() == 1
        assert manifest.frame["group"].nunique() == 18


def test_equal_broken_files_are_no_group(tmp_path):
    _data(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"train/K5/{name}.jpg").write_bytes(b"no photo")
    broken = _manifest(tmp_path).frame.query("excluded != ''")
    assert broken["group"].tolist() == ["train/K5/a.jpg", "train/K5/b.jpg"]


def test_same_classes_are_one(tmp_path):
    manifest = _manifest(_data(tmp_path), SplitSettings(folds=4, same_classes=(("라브4", "RAV4"),)))
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


def test_round_trip(tmp_path):
    data = _data(tmp_path / "data")
    (data / "train/K5/broken.jpg").write_bytes(b"no photo")
    manifest = _manifest(data, SplitSettings(folds=2, same_classes=(("라브4", "RAV4"),)))
    write_manifest(tmp_path / "written", manifest)
    assert {p.name for p in (tmp_path / "written").iterdir()} == {
        "manifest.parquet",
        "classes.json",
    }
    read = read_manifest(tmp_path / "written")
    pd.testing.assert_frame_equal(read.frame, manifest.frame)
    assert read.classes == manifest.classes
    assert read.fingerprint == manifest.fingerprint


def test_columns_are_the_designs(tmp_path):
    expected = "image_id path label class_index format mode orientation width height"
    expected += " content_hash perceptual_hash group fold excluded"
    assert list(_manifest(_data(tmp_path)).frame) == expected.split()


@pytest.mark.parametrize("damaged", ["manifest.parquet", "classes.json"])
@pytest.mark.parametrize("content", [None, b"half of", b"{}"])
def test_a_damaged_manifest(tmp_path, damaged, content):
    write_manifest(tmp_path / "written", _manifest(_data(tmp_path / "data")))
    (tmp_path / "written" / damaged).unlink()
    if content is not None:
        (tmp_path / "written" / damaged).write_bytes(content)
    with pytest.raises(DataError, match=r"manifest in .* cannot be read"):
        read_manifest(tmp_path / "written")


def test_refuses_data_that_cannot_be_used(tmp_path):
    (tmp_path / "train" / "K5").mkdir(parents=True)
    with pytest.raises(DataError, match="no photo in a class folder"):
        _manifest(tmp_path)
    (tmp_path / "train/K5/a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 photos .*train/K5/a\.jpg: unreadable"):
        _manifest(tmp_path)
    for i in range(3):
        _photo(tmp_path / f"train/K5/{i}.jpg", i)
    with pytest.raises(DataError, match="single class, 'K5'"):
        _manifest(tmp_path)
    _photo(tmp_path / "train/RAV4/1.jpg", 4)
    with pytest.raises(DataError, match=r"RAV4 \(1\)"):
        _manifest(tmp_path)


def test_image_ids_are_unique(tmp_path):
    _data(tmp_path)
    _photo(tmp_path / "train/K5" / unicodedata.normalize("NFC", "가.jpg"), 50)
    _photo(tmp_path / "train/K5" / unicodedata.normalize("NFD", "가.jpg"), 51)
    if len(list((tmp_path / "train/K5").iterdir())) == 5:
        pytest.skip("this disk keeps one Unicode form")
    try:
        manifest = _manifest(tmp_path)
    except DataError:
        return
    assert manifest.usable["image_id"].is_unique


def test_progress_counts_every_photo(tmp_path):
    layout = Layout.at(_data(tmp_path))
    done = []
    build_manifest(layout, layout.training_photos(), SPLIT, done.append)
    assert sum(done) == 12


def test_a_manifest_of_an_earlier_version_is_read(tmp_path):
    manifest = _manifest(_data(tmp_path / "data"))
    write_manifest(tmp_path / "written", manifest)
    path = tmp_path / "written" / "manifest.parquet"
    pd.read_parquet(path).drop(columns=["format", "mode", "orientation"]).to_parquet(path)
    found = read_manifest(tmp_path / "written")
    assert found.fingerprint == manifest.fingerprint
    assert list(found.frame) == list(manifest.frame)


def test_two_encodings_of_one_name(tmp_path):
    _data(tmp_path)
    for encoding in ("utf-8", "cp949"):
        _photo(tmp_path / "train/K5" / os.fsdecode("가.jpg".encode(encoding)), 50)
    with pytest.raises(DataError, match="encoding of their names"):
        _manifest(tmp_path)


def _stored(folder, **columns):
    """A written manifest whose first row says something else."""
    write_manifest(folder / "written", _manifest(_data(folder / "data")))
    path = folder / "written/manifest.parquet"
    frame = pd.read_parquet(path)
    for column, value in columns.items():
        frame[column] = frame[column].astype(object)
        frame.loc[0, column] = value
        frame[column] = frame[column].infer_objects()
    frame.to_parquet(path, index=False)
    return folder / "written"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../../etc/passwd",
        "..",
        "train/../../x.jpg",
        "train/..",
        "a\0b.jpg",
        # Percent-encoded, as names that are not UTF-8 are.
        "./%2Fetc/passwd",
        "./%2e%2e/x.jpg",
        "./..%2Fx.jpg",
        "./a/%2E%2E/%2E%2E/x.jpg",
        "./a%00b.jpg",
        None,
    ],
)
def test_a_path_that_leaves_the_data_is_refused(tmp_path, path):
    with pytest.raises(DataError, match=r"manifest in .* cannot be read"):
        read_manifest(_stored(tmp_path, path=path))


@pytest.mark.parametrize(
    "path", ["train/a..b/..c.jpg", "train/...jpg", "a\\b.jpg", "train/x\n.jpg", "~/x.jpg", "%2e/x"]
)
def test_odd_paths_below_the_data_are_read(tmp_path, path):
    assert read_manifest(_stored(tmp_path, path=path)).frame["path"][0] == path


@pytest.mark.parametrize("columns", [{"class_index": 3}, {"class_index": -1}, {"fold": -1}])
def test_a_class_or_fold_that_does_not_exist_is_refused(tmp_path, columns):
    with pytest.raises(DataError, match=r"manifest in .* cannot be read"):
        read_manifest(_stored(tmp_path, **columns))

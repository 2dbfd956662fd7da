"""The manifest names the data: the same everywhere, another when a photo or a fold changes."""

import shutil

import pandas as pd
import pytest

from carvision.config import SplitSettings
from carvision.data.manifest import Manifest, read_manifest, write_manifest
from carvision.errors import DataError
from tests.data.small_data import built_manifest, write_data, write_photo


def test_split_into_training_and_validation(tmp_path):
    manifest = built_manifest(write_data(tmp_path))
    for fold in (1, 2):
        training, validation = manifest.split(fold)
        assert set(validation["fold"]) == {fold}
        assert fold not in set(training["fold"])
        both = [*training["image_id"], *validation["image_id"]]
        assert sorted(both) == manifest.frame["image_id"].tolist()


def test_fingerprint_is_of_no_place_and_no_order(tmp_path):
    here = built_manifest(write_data(tmp_path / "here"))
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "deeper")
    there = built_manifest(tmp_path / "there" / "deeper")
    assert there.fingerprint == here.fingerprint
    assert len(here.fingerprint) == 16
    shuffled = Manifest(here.frame.sample(frac=1, random_state=0), here.classes)
    assert shuffled.fingerprint == here.fingerprint


def test_fingerprint_is_of_no_place_with_an_unreadable_photo(tmp_path):
    write_data(tmp_path / "here")
    (tmp_path / "here/train/K5/broken.jpg").write_bytes(b"no photo")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = built_manifest(tmp_path / "here"), built_manifest(tmp_path / "there")
    for fleeting in (str(tmp_path), " at 0x"):
        assert not here.frame["excluded"].str.contains(fleeting, regex=False).any()
    assert here.fingerprint == there.fingerprint


def test_fingerprint_sees_a_change(tmp_path):
    seen = {built_manifest(write_data(tmp_path)).fingerprint}
    for split in (
        SplitSettings(folds=3),
        SplitSettings(folds=2, split_seed=1),
        SplitSettings(folds=2, same_classes=(("RAV4", "라브4"),)),
    ):
        seen.add(built_manifest(tmp_path, split).fingerprint)
    write_photo(tmp_path / "train/K5/K5_0.jpg", 7)
    seen.add(built_manifest(tmp_path).fingerprint)
    write_photo(tmp_path / "train/K5/K5_9.jpg", 9)
    seen.add(built_manifest(tmp_path).fingerprint)
    (tmp_path / "train/K5/K5_9.jpg").rename(tmp_path / "train/RAV4/K5_9.jpg")
    seen.add(built_manifest(tmp_path).fingerprint)
    assert len(seen) == 7


def test_round_trip(tmp_path):
    data = write_data(tmp_path / "data")
    (data / "train/K5/broken.jpg").write_bytes(b"no photo")
    manifest = built_manifest(data, SplitSettings(folds=2, same_classes=(("라브4", "RAV4"),)))
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
    assert list(built_manifest(write_data(tmp_path)).frame) == expected.split()


@pytest.mark.parametrize("damaged", ["manifest.parquet", "classes.json"])
@pytest.mark.parametrize("content", [None, b"half of", b"{}"])
def test_a_damaged_manifest(tmp_path, damaged, content):
    write_manifest(tmp_path / "written", built_manifest(write_data(tmp_path / "data")))
    (tmp_path / "written" / damaged).unlink()
    if content is not None:
        (tmp_path / "written" / damaged).write_bytes(content)
    with pytest.raises(DataError, match=r"manifest in .* cannot be read"):
        read_manifest(tmp_path / "written")


def test_a_manifest_of_an_earlier_version_is_read(tmp_path):
    manifest = built_manifest(write_data(tmp_path / "data"))
    write_manifest(tmp_path / "written", manifest)
    path = tmp_path / "written" / "manifest.parquet"
    pd.read_parquet(path).drop(columns=["format", "mode", "orientation"]).to_parquet(path)
    found = read_manifest(tmp_path / "written")
    assert found.fingerprint == manifest.fingerprint
    assert list(found.frame) == list(manifest.frame)


def _stored(folder, **columns):
    """A written manifest whose first row says something else."""
    write_manifest(folder / "written", built_manifest(write_data(folder / "data")))
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

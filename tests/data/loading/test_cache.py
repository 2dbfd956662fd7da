"""The cache of resized photos: close to the files, found by content, never read half-written."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from carvision.config import SplitSettings
from carvision.contracts import ClassMap
from carvision.data.folder.layout import Layout
from carvision.data.loading.cache import PhotoCache
from carvision.data.manifest import Manifest
from carvision.data.photo.decode import WHOLE, decode
from carvision.data.preparation.build import build_manifest
from carvision.errors import DataError

SIDE = 64


def _prepared(root: Path, folds: int = 2) -> Manifest:
    layout = Layout.at(root)
    return build_manifest(layout, layout.training_photos(), SplitSettings(folds=folds))


@pytest.fixture
def root(tmp_path):
    """Eight smooth photos, and a copy of one of them."""
    folder = tmp_path / "photos"
    y, x = np.mgrid[0:90, 0:120] / 120
    for i in range(8):
        waves = [np.sin((3 + i) * x + 2 * y), np.cos(4 * y + i * x), np.sin(5 * x * y + i)]
        pixels = (127.5 + 110 * np.stack(waves, axis=2)).astype(np.uint8)
        path = folder / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)
    shutil.copy(folder / "a" / "0.jpg", folder / "a" / "copy.jpg")
    return folder


@pytest.fixture
def manifest(root):
    return _prepared(root)


@pytest.fixture
def cache(root, manifest, tmp_path):
    cache = PhotoCache(tmp_path / "caches", manifest, SIDE)
    cache.write(root)
    return cache


@pytest.mark.parametrize("size", [16, 40, SIDE])
@pytest.mark.parametrize("box", [WHOLE, (0.1, 0.2, 0.8, 0.9)])
def test_close_to_the_files(root, manifest, cache, size, box):
    """Colours that change from pixel to pixel lose most: 4:2:0 keeps half of their resolution."""
    photos = cache.photos(manifest.usable)
    assert len(photos) == len(manifest.usable) == 9
    for index, path in enumerate(manifest.usable["path"]):
        found = photos.crop(index, size, box)
        assert (found.shape, found.dtype) == ((size, size, 3), np.uint8)
        distance = np.abs(found.astype(float) - decode(root / path, size, box))
        assert distance.mean() < 5
        # A crop's edges lie on whole pixels of the cache.
        assert np.quantile(distance, 0.99) < 25


def test_close_to_the_files_of_real_photos(tmp_path):
    """Within 2 of 255 on average for a whole photo, at the side of the cache."""
    for folder, name, shift in (
        ("a", "china", 0),
        ("a", "china", 60),
        ("b", "flower", 0),
        ("b", "flower", 60),
    ):
        path = tmp_path / "photos" / folder / f"{name}{shift}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(load_sample_image(f"{name}.jpg")[:, shift:]).save(path, quality=95)
    manifest = _prepared(tmp_path / "photos")
    cache = PhotoCache(tmp_path / "caches", manifest, 256)
    cache.write(tmp_path / "photos")
    photos = cache.photos(manifest.usable)
    for index, path in enumerate(manifest.usable["path"]):
        distance = photos.crop(index, 256, WHOLE).astype(float) - decode(
            tmp_path / "photos" / path, 256
        )
        assert np.abs(distance).mean() < 2


def test_one_record_a_content(manifest, cache):
    assert cache.photo_count == 8
    assert cache.bytes_needed == 8 * SIDE * SIDE * 3 // 2
    assert sum(p.stat().st_size for p in cache.folder.glob("photos*")) == cache.bytes_needed
    assert cache.is_written()


def test_progress_and_a_second_writing(root, manifest, cache, tmp_path):
    other = PhotoCache(tmp_path / "others", manifest, SIDE)
    done = []
    other.write(root, done.append)
    assert sum(done) == other.photo_count
    # Written already: no photo is needed.
    shutil.rmtree(root)
    other.write(root, done.append)
    assert sum(done) == other.photo_count


def test_other_folds_labels_and_exclusions_find_the_same_cache(root, cache, tmp_path):
    manifest = _prepared(root, folds=3)
    listed = manifest.frame.copy()
    listed.loc[0, "excluded"] = "listed"
    other = Manifest(listed.sample(frac=1, random_state=1), ClassMap.of(["x"], ()))
    assert PhotoCache(tmp_path / "caches", other, SIDE).is_written()


def test_a_changed_photo_makes_another_cache(root, manifest, cache, tmp_path):
    expected = cache.photos(manifest.usable).crop(0, SIDE, WHOLE)
    Image.new("RGB", (120, 90), "red").save(root / "a" / "0.jpg")
    changed = PhotoCache(tmp_path / "caches", _prepared(root), SIDE)
    assert not changed.is_written()
    changed.write(root)
    assert changed.is_written()
    # Another training may be in the middle of the old one.
    assert cache.is_written()
    np.testing.assert_array_equal(cache.photos(manifest.usable).crop(0, SIDE, WHOLE), expected)


def test_a_photo_that_changed_since_the_scan_is_refused(root, manifest, tmp_path):
    Image.new("RGB", (120, 90), "red").save(root / "a" / "0.jpg")
    cache = PhotoCache(tmp_path / "caches", manifest, SIDE)
    with pytest.raises(DataError, match=r"a/0\.jpg has changed since it was scanned"):
        cache.write(root)
    assert not cache.is_written()


def test_a_worker_opens_the_file_itself(manifest, cache):
    photos = cache.photos(manifest.usable)
    unopened = pickle.dumps(photos)
    expected = photos.crop(0, SIDE, WHOLE)
    assert pickle.dumps(photos) == unopened
    copy = pickle.loads(unopened)
    np.testing.assert_array_equal(copy.crop(0, SIDE, WHOLE), expected)


def test_half_of_a_cache_is_none(root, manifest, cache):
    records = cache.folder / "photos.yuv420"
    photos = cache.photos(manifest.usable)
    whole = records.read_bytes()
    os.truncate(records, len(whole) - 1)
    assert not cache.is_written()
    with pytest.raises(DataError, match="cut short"):
        for index in range(9):
            photos.crop(index, SIDE, WHOLE)
    cache.write(root)
    assert records.read_bytes() == whole


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"content_hashes": ["x"]}'])
def test_a_broken_index_is_none(cache, content):
    (cache.folder / "index.json").write_text(content)
    assert not cache.is_written()


def test_a_killed_writer_leaves_nothing_that_is_read(root, manifest, tmp_path):
    """The process is killed in the middle of the file; the next one starts anew and tidies up."""
    cache = PhotoCache(tmp_path / "caches", manifest, SIDE)
    process = os.fork()
    if process == 0:

        def die(done):
            os._exit(9)

        cache.write(root, die)
    os.waitpid(process, 0)
    left = [
        path
        for path in (tmp_path / "caches").iterdir()
        if path.name.startswith(".") and path.is_dir()
    ]
    assert len(left) == 1
    assert not cache.is_written()
    cache.write(root)
    assert cache.is_written()
    assert not left[0].exists()


class _Full:
    """A file on a disk that is full after so many writes."""

    def __init__(self, file, writes):
        self._file = file
        self._writes = writes

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, content):
        self._writes -= 1
        if self._writes < 0:
            raise OSError(28, "No space left on device")
        return self._file.write(content)


@pytest.mark.parametrize("writes", [0, 5])
def test_a_disk_that_fills_is_said_and_leaves_nothing(
    root, manifest, tmp_path, monkeypatch, writes
):
    cache = PhotoCache(tmp_path / "caches", manifest, SIDE)
    plain = Path.open

    def opened(path, mode="r", **options):
        file = plain(path, mode, **options)
        return _Full(file, writes) if path.name == "photos.yuv420" and mode == "wb" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        with pytest.raises(DataError, match=r"No space left on device; data\.cache=off"):
            cache.write(root)
    assert not cache.is_written()
    assert not [path for path in (tmp_path / "caches").iterdir() if path.is_dir()]
    cache.write(root)
    assert cache.is_written()


def test_a_disk_that_cannot_be_written_is_said(root, manifest, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be written: .*data\.cache=off"):
        PhotoCache(tmp_path / "file" / "caches", manifest, SIDE).write(root)


def test_half_of_the_free_disk_is_the_limit(manifest, tmp_path, monkeypatch):
    cache = PhotoCache(tmp_path / "caches", manifest, SIDE)
    for free, fits in ((2 * cache.bytes_needed, True), (2 * cache.bytes_needed - 2, False)):
        usage = shutil._ntuple_diskusage(10**9, 0, free)
        monkeypatch.setattr(
            "carvision.data.loading.cache.disk_usage", lambda path, usage=usage: usage
        )
        assert cache.fits() == fits


def test_a_photo_that_went_away_is_named(root, manifest, tmp_path):
    (root / "b" / "3.jpg").unlink()
    cache = PhotoCache(tmp_path / "caches", manifest, SIDE)
    with pytest.raises(DataError, match=r"b/3\.jpg cannot be read"):
        cache.write(root)
    assert not cache.is_written()


def test_a_cache_that_went_away_is_said(manifest, cache):
    shutil.rmtree(cache.folder)
    with pytest.raises(DataError, match=r"the cache .* cannot be read"):
        cache.photos(manifest.usable).crop(0, SIDE, WHOLE)


def test_an_odd_side_is_refused(manifest, tmp_path):
    with pytest.raises(ValueError, match="even"):
        PhotoCache(tmp_path, manifest, 33)

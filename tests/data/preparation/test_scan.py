"""Each photo is looked at once; what cannot be used is said, and stops nothing."""

import struct
import zlib

import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from carvision.data.folder.layout import Layout
from carvision.data.preparation.scan import scan_photos


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "photos" / "a"
    folder.mkdir(parents=True)
    Image.fromarray(load_sample_image("china.jpg")).save(folder / "whole.jpg")
    return tmp_path / "photos"


def _scanned(root, **options):
    photos = Layout.at(root).training_photos()
    return scan_photos(root, photos, **options).set_index("image_id")


def _claim_pixels(path):
    Image.new("L", (4, 4)).save(path, "PNG")
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 30_000, 30_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def test_a_sound_photo(root):
    row = _scanned(root).loc["a/whole.jpg"]
    assert (row["width"], row["height"], row["excluded"]) == (640, 427, "")
    assert len(row["content_hash"]) == 32
    assert len(row["perceptual_hash"]) == 16


def test_sizes_are_as_shown(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(load_sample_image("china.jpg")).save(root / "a" / "turned.jpg", exif=exif)
    row = _scanned(root).loc["a/turned.jpg"]
    assert (row["width"], row["height"]) == (427, 640)
    assert (row["format"], row["mode"], row["orientation"]) == ("JPEG", "RGB", 6)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_text("hello"), "unreadable: not an image"),
        (lambda path: path.write_bytes(b""), "unreadable: not an image"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5000]), "unreadable: OSError: "),
        (_claim_pixels, "unreadable: DecompressionBombError: "),
    ],
    ids=["text", "empty", "truncated", "bomb"],
)
def test_what_cannot_be_used_is_said(root, spoil, reason):
    path = root / "a" / "bad.jpg"
    path.write_bytes((root / "a" / "whole.jpg").read_bytes())
    spoil(path)
    rows = _scanned(root)
    assert rows.loc["a/bad.jpg", "excluded"].startswith(reason)
    assert rows.loc["a/whole.jpg", "excluded"] == ""


def test_a_photo_that_goes_away_between_listing_and_scan(root):
    photos = Layout.at(root).training_photos()
    (root / "a" / "whole.jpg").unlink()
    (reason,) = scan_photos(root, photos)["excluded"]
    assert reason.startswith("unreadable: FileNotFoundError")


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_broken_memory_of_the_scan_is_made_anew(root, tmp_path, content):
    cache = tmp_path / "scan.parquet"
    cache.write_bytes(content)
    first = _scanned(root, cache=cache)
    assert cache.stat().st_size > len(content)
    assert first.equals(_scanned(root, cache=cache))
    assert first.equals(_scanned(root))


def test_a_memory_of_an_earlier_version_is_made_anew(root, tmp_path):
    cache = tmp_path / "scan.parquet"
    first = _scanned(root, cache=cache)
    pd.read_parquet(cache).drop(columns=["format", "mode", "orientation"]).to_parquet(cache)
    assert first.equals(_scanned(root, cache=cache))

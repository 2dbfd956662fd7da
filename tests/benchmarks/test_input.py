"""The input benchmark at a small size: every contender runs, every row is there."""

import numpy as np
import pytest
from PIL import Image

from carvision.benchmarks.input import input_rows
from carvision.benchmarks.photos import pictures, write_photos
from carvision.benchmarks.preparation import preparation_rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    work = tmp_path_factory.mktemp("bench")
    sizes = {"photo_sizes": [(690, 437)], "image_sizes": [384]}
    return input_rows(pictures([], 2), work, count=64, passes=1, **sizes)


def test_rows_of_the_input_benchmark(rows):
    rates = [row for row in rows if row.unit == "images/s"]
    assert [(row.name.rpartition(", ")[2], row.rival, row.target) for row in rates] == [
        ("files", "albumentations", 1.0),
        ("files", "timm", None),
        ("cache", "albumentations", 2.0),
        ("cache", "timm", None),
        ("cache", "no loader", 0.8),
    ]
    for row in rows:
        assert row.value > 0
        assert row.rival_value > 0
        assert (row.holds is None) == (row.target is None)
    memory = [row for row in rows if row.unit == "MiB"]
    assert len(memory) == 2
    (disk,) = [row for row in rows if row.unit == "kB"]
    assert disk.value == pytest.approx(640 * 640 * 1.5 / 1e3)


def test_rows_of_the_prepare_benchmark(tmp_path):
    rows = preparation_rows(pictures([], 2), tmp_path, photos=24, rows=40_000)
    assert [row.unit for row in rows] == ["s", "MiB", "s", "s", "MiB"]
    assert "24 photos" in rows[0].name
    assert "40,000 rows" in rows[3].name
    assert all(row.value > 0 for row in rows)


def test_photos_differ_and_have_their_size(tmp_path):
    write_photos(pictures([], 2), tmp_path, (120, 80), 40, classes=4)
    paths = sorted(tmp_path.glob("train/*/*.jpg"))
    assert len(paths) == 40
    assert len({path.read_bytes() for path in paths}) == 40
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (120, 80)


def test_pictures_are_the_users_where_they_are_large_enough(tmp_path):
    pixels = np.full((300, 400, 3), 200, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    Image.fromarray(pixels[:50, :50]).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"no photo")
    paths = sorted(tmp_path.glob("*.png"))
    (found,) = pictures(paths, 5)
    np.testing.assert_array_equal(found, pixels)
    assert len(pictures([tmp_path / "small.png"], 5)) == 2

"""The input benchmark at a small size: every contender runs, every row is there."""

import pytest

from carvision.benchmarks.input import Extent, input_rows
from carvision.benchmarks.photos import pictures


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    work = tmp_path_factory.mktemp("bench")
    extent = Extent(photos=64, passes=1, photo_sizes=[(690, 437)], image_sizes=[384])
    return input_rows(pictures([], 2), work, extent)


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

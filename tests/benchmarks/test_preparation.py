"""The preparation benchmark at a small size: every row is there."""

from carvision.benchmarks.photos import pictures
from carvision.benchmarks.preparation import preparation_rows


def test_rows_of_the_prepare_benchmark(tmp_path):
    rows = preparation_rows(pictures([], 2), tmp_path, photos=24, rows=40_000)
    assert [row.unit for row in rows] == ["s", "MiB", "s", "s", "MiB"]
    assert "24 photos" in rows[0].name
    assert "40,000 rows" in rows[3].name
    assert all(row.value > 0 for row in rows)

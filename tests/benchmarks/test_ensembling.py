"""The tuning benchmark at a small size: every row is there, and the rival has its time."""

from pathlib import Path

from carvision.benchmarks.ensembling import Size, ensembling_rows


def test_every_row_is_measured(tmp_path: Path) -> None:
    steps: list[str] = []
    rows = ensembling_rows(tmp_path, Size(200, 5, 2, 12), steps.append)
    assert [row.unit for row in rows] == ["s", "GiB", "s", "nats", "s", "s", "nats", "nats"]
    assert len(steps) == 4
    assert (tmp_path / "optuna.db").exists(), "users' studies are in a file"
    gap = rows[3]
    assert gap.holds and 0 <= gap.value <= 1e-8
    exact, study = rows[6], rows[7]
    assert exact.rival_value == study.rival_value
    # No raw weights are better than the exact ones.
    assert exact.holds and exact.value <= exact.rival_value + 1e-6

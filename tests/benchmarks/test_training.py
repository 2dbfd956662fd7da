"""The training benchmarks at a small size: every contender trains, every row is there."""

from pathlib import Path

import pytest

from carvision import training
from carvision.benchmarks import training as module
from carvision.benchmarks.training import against_timm_rows, step_rows
from carvision.config import SplitSettings, load_config
from carvision.data.folder.layout import Layout
from carvision.data.loading.cache import PhotoCache
from carvision.data.preparation.build import build_manifest
from carvision.training.job import FoldJob

_SMALL = "model.image_size=32 train.batch_size=8 train.epochs=1 loader.workers=0 precision=fp32"


def test_a_step_against_a_bare_loop(monkeypatch):
    monkeypatch.setattr(module, "STEPS", 1)
    plain, default = step_rows(load_config(overrides=_SMALL))
    assert default.name == f"{plain.name} with average and clipping"
    for row in (plain, default):
        assert row.rival == "bare loop"
        assert row.value > 0
        assert row.rival_value > 0
        assert row.holds == (row.value - row.rival_value <= max(2.0, 0.05 * row.rival_value))


def test_a_training_against_timms_script(photos: Path, tmp_path: Path, monkeypatch):
    layout = Layout.at(photos)
    manifest = build_manifest(layout, layout.training_photos(), SplitSettings(folds=4))
    config = load_config(overrides=f"{_SMALL} model.image_size=64 train.image_size=32")
    trained = []

    def train_fold(job, tracker):
        config, cache = job.config, job.cache
        trained.append((config.train_image_size, config.train.epochs, cache and cache.is_written()))
        return training.train_fold(job, tracker)

    monkeypatch.setattr(module, "train_fold", train_fold)
    cache = PhotoCache(tmp_path / "cache", manifest, 48)
    job = FoldJob.of(config, manifest, photos, 1, cache)
    rows = against_timm_rows(job, tmp_path, learning_rates=(1e-3, 3e-3))
    assert [(row.unit, row.target) for row in rows] == [
        ("images/s", 2.0),
        ("images/s", None),
        ("nats", pytest.approx(1 / 0.65)),
        ("min", 1.0),
        ("nats", None),
        ("nats", None),
    ]
    assert all(0 < row.value < 1e5 for row in rows)
    # The rival is the better of its learning rates.
    assert rows[2].rival_value == min(row.value for row in rows[4:])
    # From a cache that the minutes hold, then from the files at the rival's own size.
    assert trained == [(32, 1, True), (64, 1, None)]
    assert "from files at 64 px" in rows[0].name
    assert rows[0].rival_value == rows[1].rival_value

"""The training benchmarks at a small size: every contender trains, every row is there."""

from pathlib import Path

import pytest

from carvision.benchmarks import against_timm_rows, backbone_rows, checkpoint_rows, step_rows
from carvision.config import SplitSettings, load_config
from carvision.data.layout import Layout
from carvision.data.manifest import build_manifest

_SMALL = "model.image_size=32 train.batch_size=8 train.epochs=1 loader.workers=0 precision=fp32"


def test_a_step_against_a_bare_loop():
    (row,) = step_rows(load_config(overrides=_SMALL))
    assert row.rival == "bare loop"
    assert row.value > 0
    assert row.rival_value > 0
    assert row.holds == (row.value - row.rival_value <= max(2.0, 0.05 * row.rival_value))


def test_a_training_against_timms_script(photos: Path, tmp_path: Path):
    layout = Layout.at(photos)
    manifest = build_manifest(layout, layout.training_photos(), SplitSettings(folds=4))
    config = load_config(overrides=_SMALL)
    rows = against_timm_rows(config, manifest, photos, None, tmp_path, learning_rates=(1e-3, 3e-3))
    assert [(row.unit, row.target) for row in rows] == [
        ("images/s", 2.0),
        ("nats", pytest.approx(1 / 0.65)),
        ("min", 1.0),
        ("nats", None),
        ("nats", None),
    ]
    assert all(0 < row.value < 1e5 for row in rows)
    # The rival is the better of its learning rates.
    assert rows[1].rival_value == min(row.value for row in rows[3:])


def test_backbones_and_checkpoints(tmp_path: Path):
    config = load_config(overrides=_SMALL)
    rows = backbone_rows([config])
    assert [row.unit for row in rows] == ["million", "s", "GiB"]
    # timm's lite0 without its classifier of a thousand, and with one of 396.
    assert rows[0].value == pytest.approx(3.88, abs=0.05)
    assert 0.1 < rows[2].value < 24
    rows = checkpoint_rows(config, tmp_path)
    assert [row.unit for row in rows] == ["s", "s", "GiB"]
    # Weights, their average, and two moments of AdamW.
    assert rows[2].value * 2**30 == pytest.approx(4 * 4 * 3.88e6, rel=0.1)

"""The benchmark of backbones at a small size: a step and a checkpoint, with their sizes."""

from pathlib import Path

import pytest

from carvision.benchmarks.backbones import backbone_rows, checkpoint_rows
from carvision.config import load_config


def test_backbones_and_checkpoints(tmp_path: Path):
    config = load_config(overrides="model.image_size=32 precision=fp32")
    rows = backbone_rows([config])
    assert [row.unit for row in rows] == ["million", "s", "GiB"]
    # timm's lite0 without its classifier of a thousand, and with one of 396.
    assert rows[0].value == pytest.approx(3.88, abs=0.05)
    assert 0.1 < rows[2].value < 24
    rows = checkpoint_rows(config, tmp_path)
    assert [row.unit for row in rows] == ["s", "s", "GiB"]
    # Weights, their average, and two moments of AdamW.
    assert rows[2].value * 2**30 == pytest.approx(4 * 4 * 3.88e6, rel=0.1)

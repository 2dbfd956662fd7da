"""timm's script keeps the weights and predictions of its best epoch."""

from pathlib import Path

import numpy as np
import torch

from carvision.benchmarks import train_rival
from carvision.config import load_config


def test_timms_script_keeps_its_best_epoch(photos: Path, monkeypatch):
    paths = sorted((photos / "train").rglob("*.jpg"))[:8]
    targets = [0, 1] * 4
    states, given = [], [np.log([[0.6, 0.4]] * 8), np.log([[0.9, 0.1], [0.1, 0.9]] * 4)]
    given.append(np.log([[0.5, 0.5]] * 8))

    def cropped(network, photos, settings):
        states.append({k: v.clone() for k, v in network.state_dict().items()})
        return given[len(states) - 1]

    monkeypatch.setattr(train_rival, "predict_cropped", cropped)
    config = load_config(overrides="model.image_size=32 train.batch_size=8 train.epochs=3")
    labelled = train_rival.LabelledPhotos(paths, targets)
    result = train_rival.train_as_timm(config, 2, labelled, labelled, 1e-3)
    assert result.log_p is given[1]
    kept = result.network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in states[1].items())
    assert any(not torch.equal(kept[name], value) for name, value in states[2].items())

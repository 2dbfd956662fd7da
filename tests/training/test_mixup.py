"""MixUp and CutMix: what they draw, and that nothing else changes."""

import numpy as np
import pytest
import torch

from carvision.training.mixup import MixUp
from tests.training.conftest import tiny

CLASSES = 3


def _batch(images=8):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(CLASSES, (images,), generator=generator)


@pytest.mark.parametrize("kind", ["mixup_alpha", "cutmix_alpha"])
def test_mixup_depends_on_seed_and_step_alone(kind):
    config = tiny(f"mixing.p=1.0 mixing.{kind}=1.0").mixing
    images, targets = _batch(9)
    images = images.float()
    before = images.clone()
    one, other = (MixUp(config, CLASSES, seed=4) for _ in range(2))
    other(images, targets, 7)
    torch.manual_seed(3)
    mixed, soft = one(images, targets, 5)
    again, soft_again = other(images, targets, 5)
    assert torch.equal(mixed, again) and torch.equal(soft, soft_again)
    # Nothing of the caller's is changed, the odd image is left out, and shares add up.
    assert torch.equal(images, before)
    assert mixed.shape == (8, 3, 32, 32)
    torch.testing.assert_close(soft.sum(1), torch.ones(8))
    assert not torch.equal(mixed, images[:8])
    assert not torch.equal(one(images, targets, 6)[0], mixed)
    assert not torch.equal(MixUp(config, CLASSES, seed=5)(images, targets, 5)[0], mixed)


def test_mixup_leaves_numpys_state():
    config = tiny("mixing.p=1.0 mixing.mixup_alpha=1.0").mixing
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    images, targets = _batch()
    MixUp(config, CLASSES, seed=4)(images.float(), targets, 5)
    assert np.random.random() == expected

"""Boxes lie inside of the photo, have the wanted share and shape, and reach every corner."""

import numpy as np
import pytest

from carvision.data.loading.crops import part_crop, shape_keeping_crop


@pytest.mark.parametrize("scale", [(0.05, 0.1), (0.35, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("jitter", [0.0, 0.35, 0.99])
def test_a_crop_stays_inside(scale, jitter):
    generator = np.random.default_rng(0)
    boxes = np.array([shape_keeping_crop(generator, scale, jitter) for _ in range(500)])
    left, upper, right, lower = boxes.T
    assert (left >= 0).all()
    assert (upper >= 0).all()
    # Up to the last bit: the edge is a sum.
    assert (right <= 1 + 1e-12).all()
    assert (lower <= 1 + 1e-12).all()
    width, height = right - left, lower - upper
    assert (width > 0).all()
    assert (height > 0).all()
    shape = width / height
    assert shape.max() <= (1 + jitter) * (1 + 1e-9)
    assert shape.min() >= 1 / (1 + jitter) * (1 - 1e-9)
    area = width * height
    assert area.max() <= scale[1] * (1 + 1e-9)
    # An edge that meets the photo's own takes something of the area.
    assert area.min() >= scale[0] / (1 + jitter) * (1 - 1e-9)


def test_crops_reach_every_corner():
    generator = np.random.default_rng(0)
    boxes = np.array([shape_keeping_crop(generator, (0.2, 0.6), 0.3) for _ in range(500)])
    assert boxes[:, :2].min(axis=0).max() < 0.02
    assert boxes[:, 2:].max(axis=0).min() > 0.98


def test_part_crops_are_the_four_sides():
    generator = np.random.default_rng(0)
    boxes = np.array([part_crop(generator, (0.5, 0.7)) for _ in range(400)])
    left, upper, right, lower = boxes.T
    width, height = right - left, lower - upper
    assert ((width == 1) ^ (height == 1)).all()
    kept = np.minimum(width, height)
    assert 0.5 <= kept.min() < 0.52
    assert 0.68 < kept.max() <= 0.7 + 1e-9
    sides = {"right": left > 0, "lower": upper > 0, "left": right < 1, "upper": lower < 1}
    assert all(70 <= side.sum() <= 130 for side in sides.values())

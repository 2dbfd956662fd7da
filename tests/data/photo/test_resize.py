"""Resizing gives Pillow's pixels, and never its caller's own."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from carvision.data.photo.resize import resized


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize("size", [1, 32, 224, 384, 600])
@pytest.mark.parametrize("part", [(427, 640), (300, 200), (64, 64)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_as_pillow_does(name, size, part, interpolation):
    pixels = load_sample_image(name)[: part[0], : part[1]]
    kind = Image.Resampling[interpolation.upper()]
    expected = np.asarray(Image.fromarray(pixels).resize((size, size), kind)).astype(int)
    distance = np.abs(resized(pixels, size, interpolation).astype(int) - expected)
    assert distance.mean() < 0.25
    # Enlarging, both round their weights to a few bits, each in its own way.
    assert distance.max() <= 12


@pytest.mark.parametrize("size", [16, 40])
def test_a_copy(size):
    pixels = np.arange(40 * 40 * 3, dtype=np.uint8).reshape(40, 40, 3)
    before = pixels.copy()
    result = resized(pixels, size)
    assert (result.shape, result.dtype) == ((size, size, 3), np.uint8)
    assert result.flags.c_contiguous
    result[:] = 0
    np.testing.assert_array_equal(pixels, before)


def test_read_only_and_strided_arrays():
    pixels = load_sample_image("china.jpg")
    frozen = pixels[10:200, 20:300]
    frozen.flags.writeable = False
    np.testing.assert_array_equal(resized(frozen, 64), resized(frozen.copy(), 64))

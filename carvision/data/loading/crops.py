"""Which part of a photo training shows."""

from math import sqrt

import numpy as np

from carvision.config import AugmentationConfig
from carvision.data.photo.decode import Box


def random_crop(generator: np.random.Generator, config: AugmentationConfig) -> Box:
    """A random box of a photo: of its own shape, or with ``part_crop.p`` a half of the car."""
    # Not drawn where it cannot happen, so that the samples of older runs stay as they were.
    if config.part_crop.p and generator.random() < config.part_crop.p:
        return part_crop(generator, config.part_crop.share)
    return shape_keeping_crop(generator, config.crop_scale, config.crop_jitter)


def shape_keeping_crop(
    generator: np.random.Generator, scale: tuple[float, float], jitter: float
) -> Box:
    """A random box of a share ``scale`` of the photo's area, of nearly the photo's own shape.

    The whole photo is squashed into a square at test; a crop of the photo's own shape is squashed
    just as much, so training sees the distortion that testing will show. (Torchvision's random
    resized crop draws shapes near a square instead.)
    """
    area = generator.uniform(*scale)
    shape = np.exp(generator.uniform(-1, 1) * np.log1p(jitter))
    width = min(1.0, sqrt(area * shape))
    height = min(1.0, sqrt(area / shape))
    left = generator.uniform(0, 1 - width)
    upper = generator.uniform(0, 1 - height)
    return (left, upper, left + width, upper + height)


def part_crop(generator: np.random.Generator, share: tuple[float, float]) -> Box:
    """The front, the rear, the roof or the wheels: ``share`` of the photo's width or height.

    Strong teams of the used-car competition showed the network halves of a car, so that it does
    not live on the outline alone.
    """
    kept = generator.uniform(*share)
    match generator.integers(4):
        case 0:
            return (0.0, 0.0, kept, 1.0)
        case 1:
            return (1 - kept, 0.0, 1.0, 1.0)
        case 2:
            return (0.0, 0.0, 1.0, kept)
        case _:
            return (0.0, 1 - kept, 1.0, 1.0)

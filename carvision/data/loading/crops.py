"""Draw the part of a photo that training sees."""

from math import sqrt

import numpy as np

from carvision.config import AugmentationConfig
from carvision.data.photo.decode import Box


def random_crop(generator: np.random.Generator, config: AugmentationConfig) -> Box:
    """Draw a box of nearly the photo's shape, or with probability ``part_crop.p`` a side of it."""
    # No number is drawn at probability 0, so that samples stay those of older runs.
    if config.part_crop.p and generator.random() < config.part_crop.p:
        return part_crop(generator, config.part_crop.share)
    return shape_keeping_crop(generator, config.crop_scale, config.crop_jitter)


def shape_keeping_crop(
    generator: np.random.Generator, scale: tuple[float, float], jitter: float
) -> Box:
    """Draw a box of a share ``scale`` of the photo's area, of nearly the photo's aspect ratio.

    At test the whole photo is squashed to a square. A crop of the same aspect ratio is squashed as
    much, so training sees the same distortion. (Torchvision's random resized crop draws boxes that
    are nearly square.)
    """
    area = generator.uniform(*scale)
    shape = np.exp(generator.uniform(-1, 1) * np.log1p(jitter))
    width = min(1.0, sqrt(area * shape))
    height = min(1.0, sqrt(area / shape))
    left = generator.uniform(0, 1 - width)
    upper = generator.uniform(0, 1 - height)
    return (left, upper, left + width, upper + height)


def part_crop(generator: np.random.Generator, share: tuple[float, float]) -> Box:
    """Draw the front, rear, roof or wheels: ``share`` of the photo's width or height.

    Strong teams of the used-car competition trained on halves of cars, so that the network does not
    depend on the outline alone.
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

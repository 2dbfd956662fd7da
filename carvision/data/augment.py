"""Augmentation of a training photo, drawn from (seed, epoch, image id) alone.

So a sample is the same whatever the number of workers, the order, or the point at which training
went on.
"""

import hashlib
import os
import random
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carvision.config import AugmentationConfig
from carvision.data.decode import Box, decode

# albumentations asks the network for a newer version of itself at import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations


class Augmenter:
    """Crops, flips and recolours photos to ``[size, size, 3]``."""

    def __init__(self, config: AugmentationConfig, size: int, seed: int) -> None:
        self._config = config
        self._size = size
        self._seed = seed
        self._pixels = albumentations.Compose(
            [
                albumentations.HorizontalFlip(p=config.hflip),
                albumentations.ColorJitter(
                    brightness=(1 - config.brightness, 1 + config.brightness),
                    contrast=(1 - config.contrast, 1 + config.contrast),
                    saturation=(1 - config.saturation, 1 + config.saturation),
                    hue=(0, 0),
                    p=1.0,
                ),
            ]
        )

    def __call__(self, path: Path, image_id: str, epoch: int) -> NDArray[np.uint8]:
        """The photo as it is seen in ``epoch``."""
        key = f"{self._seed}\0{epoch}\0{image_id}".encode()
        seed = int.from_bytes(hashlib.sha256(key).digest()[:8])
        generator = np.random.default_rng(seed)
        box = shape_keeping_crop(generator, self._config.crop_scale, self._config.crop_jitter)
        image = decode(path, self._size, box)
        # set_random_seed would give every transform the same stream; shared generators do not.
        self._pixels.set_random_state(generator, random.Random(seed))
        return self._pixels(image=image)["image"]


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

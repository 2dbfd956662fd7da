"""Augmentation of a training photo, drawn from (seed, epoch, image id) alone.

So a sample is the same whatever the number of workers, the order, or the point at which training
went on.
"""

import hashlib
import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carvision.config import AugmentationConfig
from carvision.data.loading.crops import random_crop
from carvision.data.photo.decode import Box

# albumentations asks the network for a newer version of itself at import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
import albumentations


class Augmenter:
    """Crops, flips, recolours and damages photos to ``[size, size, 3]``."""

    def __init__(self, config: AugmentationConfig, size: int, seed: int) -> None:
        self._config = config
        self.size = size
        self._seed = seed
        self._pixels = albumentations.Compose(_transforms(config))

    def __call__(
        self, crop: Callable[[int, Box], NDArray[np.uint8]], image_id: str, epoch: int
    ) -> NDArray[np.uint8]:
        """The photo as it is seen in ``epoch``; ``crop(size, box)`` gives its pixels."""
        key = f"{self._seed}\0{epoch}\0{image_id}".encode()
        seed = int.from_bytes(hashlib.sha256(key).digest()[:8])
        generator = np.random.default_rng(seed)
        image = crop(self.size, random_crop(generator, self._config))
        # set_random_seed would give every transform the same stream; shared generators do not.
        self._pixels.set_random_state(generator, random.Random(seed))
        return self._pixels(image=image)["image"]


def _transforms(config: AugmentationConfig) -> list[Any]:
    """In the order in which a camera would: the scene, its light, the lens, the file.

    What can never happen is left out, since even asking costs time.
    """
    colour = config.brightness or config.contrast or config.saturation
    wanted: list[tuple[float, Any, dict[str, Any]]] = [
        (config.hflip, albumentations.HorizontalFlip, {}),
        (
            1.0 if colour else 0.0,
            albumentations.ColorJitter,
            {
                "brightness": (1 - config.brightness, 1 + config.brightness),
                "contrast": (1 - config.contrast, 1 + config.contrast),
                "saturation": (1 - config.saturation, 1 + config.saturation),
                "hue": (0, 0),
            },
        ),
        (
            config.darken.p,
            albumentations.ColorJitter,
            {
                "brightness": config.darken.factor,
                "contrast": (1, 1),
                "saturation": (1, 1),
                "hue": (0, 0),
            },
        ),
        (
            config.blur.p,
            albumentations.GaussianBlur,
            {"sigma_limit": config.blur.sigma, "blur_limit": 0},
        ),
        (
            config.compression.p,
            albumentations.ImageCompression,
            {"quality_range": config.compression.quality},
        ),
        (
            config.dropout.p,
            albumentations.CoarseDropout,
            {
                "num_holes_range": config.dropout.holes,
                "hole_height_range": config.dropout.side,
                "hole_width_range": config.dropout.side,
                "fill": "random_uniform",
            },
        ),
    ]
    return [transform(p=p, **settings) for p, transform, settings in wanted if p > 0]

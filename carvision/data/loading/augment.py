"""Augmentation of a training photo, drawn from (seed, epoch, image id) alone.

So a sample does not depend on the number of workers, on the order of the photos, or on where an
interrupted training resumes.
"""

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from carvision.config import AugmentationConfig
from carvision.data.loading.crops import random_crop
from carvision.data.photo.decode import Box

_SAME_COLOURS: Final = {"contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}


@dataclass(frozen=True)
class Draw:
    """The random numbers of one sample: the box to crop, and generators for all that follows."""

    box: Box
    generator: np.random.Generator
    python_random: random.Random


class Augmenter:
    """Draws a box of a photo; flips, recolours and damages the pixels in it.

    A sample is made in three steps::

        draw = augmenter.draw(image_id, epoch)
        pixels = source.crop(index, augmenter.size, draw.box)
        sample = augmenter.apply(pixels, draw)
    """

    def __init__(self, config: AugmentationConfig, size: int, seed: int) -> None:
        self._config = config
        self.size = size
        self._seed = seed
        self._transforms = _composed(config)

    def draw(self, image_id: str, epoch: int) -> Draw:
        """Draw a photo's box for ``epoch``."""
        key = f"{self._seed}\0{epoch}\0{image_id}".encode()
        seed = int.from_bytes(hashlib.sha256(key).digest()[:8])
        generator = np.random.default_rng(seed)
        return Draw(random_crop(generator, self._config), generator, random.Random(seed))

    def apply(self, pixels: NDArray[np.uint8], draw: Draw) -> NDArray[np.uint8]:
        """Augment the cropped ``pixels`` ``[size, size, 3]``; a draw can be applied once."""
        # set_random_seed would give every transform the same stream; shared generators do not.
        self._transforms.set_random_state(draw.generator, draw.python_random)
        return self._transforms(image=pixels)["image"]


def _composed(config: AugmentationConfig) -> Any:
    """The transforms in the order of a camera: the scene, its light, the lens, the file.

    A transform of probability 0 is left out, since even drawing its number takes time.
    """
    # Imported here: it takes a second, which no step but training needs to wait for.
    import albumentations

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
            {"brightness": config.darken.factor} | _SAME_COLOURS,
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
    return albumentations.Compose(
        [transform(p=p, **settings) for p, transform, settings in wanted if p > 0]
    )

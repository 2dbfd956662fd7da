"""Photos to measure with: real ones, re-encoded at the sizes that are compared."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from carvision.data.photo.decode import to_rgb
from carvision.data.photo.file import load_upright, read_photo

#: Smaller photos would be enlarged so much that their JPEGs decode too fast.
_MIN_PIXELS = 300 * 200
_QUALITY = 90
#: Threads that write photos, each with a random generator of its own.
_PARTS = 16


def pictures(paths: Sequence[Path], count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Read ``count`` photos of ``paths`` that are large enough; without any, scikit-learn's two."""
    generator = np.random.default_rng(seed)
    found: list[NDArray[np.uint8]] = []
    for index in generator.permutation(len(paths)):
        if len(found) == count:
            return found
        try:
            image = load_upright(read_photo(paths[index])).image
            if image.width * image.height >= _MIN_PIXELS:
                found.append(np.asarray(to_rgb(image)))
        # Broken photos make the libraries raise nearly every kind of error; take another photo.
        except Exception:
            continue
    return found or list(load_sample_images().images)


def varied(originals: Sequence[NDArray[np.uint8]], count: int, seed: int) -> Iterator[Image.Image]:
    """Vary photos: another crop, mirrored or not, another brightness."""
    generator = np.random.default_rng(seed)
    for index in range(count):
        pixels = originals[index % len(originals)]
        height, width = pixels.shape[:2]
        upper, left = generator.integers(0, height // 4), generator.integers(0, width // 4)
        part = Image.fromarray(pixels).crop(
            (left, upper, left + width * 3 // 4, upper + height * 3 // 4)
        )
        if generator.random() < 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        factor = generator.uniform(0.7, 1.2)
        yield part.point(lambda value, factor=factor: value * factor)  # type: ignore[misc]


def write_photos(
    originals: Sequence[NDArray[np.uint8]],
    folder: Path,
    size: tuple[int, int],
    count: int,
    classes: int = 2,
) -> None:
    """Write ``count`` JPEG photos of ``size`` (width, height) to ``folder/train/<class>``."""

    def write(part: int) -> None:
        own = range(part, count, _PARTS)
        for index, image in zip(own, varied(originals, len(own), seed=part), strict=True):
            path = folder / "train" / f"class_{index % classes:03d}" / f"{index:06d}.jpg"
            image.resize(size, Image.Resampling.BICUBIC).save(path, quality=_QUALITY)

    for label in range(classes):
        (folder / "train" / f"class_{label:03d}").mkdir(parents=True)
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        list(pool.map(write, range(_PARTS)))

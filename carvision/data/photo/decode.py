"""A photo file as an RGB image of the wanted size, the whole of it or a crop."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import ceil, floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carvision.data.names import printable
from carvision.data.photo.file import load_upright, read_photo, reason_of
from carvision.data.photo.resize import resized
from carvision.errors import DataError

#: Left, upper, right, lower edge as shares of the shown photo's width and height.
Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def decode(
    source: Path | bytes,
    size: int,
    box: Box = WHOLE,
    *,
    interpolation: str = "bicubic",
    name: str | None = None,
) -> NDArray[np.uint8]:
    """The part ``box`` of a photo, squashed into a square: ``[size, size, 3]``, RGB.

    Squashing keeps every pixel of the car in sight, and training crops are squashed alike. A JPEG
    is decoded straight to the nearest scale that still covers ``size`` (DCT scaling).

    Raises:
        DataError: the photo cannot be read; the error names it.
    """
    with _naming(source, name):
        image = _shown(source, ceil(size / min(box[2] - box[0], box[3] - box[1])))
        # Cropped before it becomes an array, which costs by the pixel.
        part = image.crop(in_pixels(box, *image.size)) if box != WHOLE else image
        pixels = np.asarray(to_rgb(part))
    return resized(pixels, size, interpolation)


def thumbnail(source: Path, longest: int) -> bytes:
    """A small JPEG of the whole photo in its own shape.

    Raises:
        DataError: the photo cannot be read; the error names it.
    """
    buffer = BytesIO()
    with _naming(source, None):
        small = to_rgb(_shown(source, longest))
        small.thumbnail((longest, longest))
        small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _shown(source: Path | bytes, needed: int) -> Image.Image:
    """A photo as it is shown, not much larger than ``needed``."""
    content = source if isinstance(source, bytes) else read_photo(source)
    return load_upright(content, needed).image


@contextmanager
def _naming(source: Path | bytes, name: str | None) -> Iterator[None]:
    """Errors name the photo: on a broken one the libraries below raise nearly every kind."""
    try:
        yield
    except Exception as error:
        what = name or (f"{len(source)} bytes" if isinstance(source, bytes) else source)
        raise DataError(
            f"the photo {printable(what)} cannot be read: {reason_of(error)}"
        ) from error


def in_pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The smallest box of whole pixels around ``box``; never empty."""
    left, upper = floor(box[0] * width), floor(box[1] * height)
    # Shares are sums, which may end a last bit outside the photo.
    right, lower = min(width, ceil(box[2] * width)), min(height, ceil(box[3] * height))
    return (
        min(left, width - 1),
        min(upper, height - 1),
        max(right, min(left, width - 1) + 1),
        max(lower, min(upper, height - 1) + 1),
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """``image`` in RGB; 16-bit grey is scaled to 8 bits, where Pillow's own conversion clips it."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")

"""Decode a photo, or a crop of it, to an RGB image of the wanted size."""

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
    """Decode the part ``box`` of a photo and squash it to a square: ``[size, size, 3]``, RGB.

    Squashing keeps the whole car in the image; training crops are squashed as much. A JPEG is
    decoded at the nearest scale that still has ``size`` pixels (DCT scaling).

    Args:
        source: A path, or the encoded bytes.
        size: Side of the image in pixels.
        box: The part of the photo.
        interpolation: ``bicubic`` or ``bilinear``.
        name: The photo's name in an error; by default its path or number of bytes.

    Raises:
        DataError: the photo cannot be read; the error names it.
    """
    with _naming(source, name):
        image = _shown(source, ceil(size / min(box[2] - box[0], box[3] - box[1])))
        # Crop first: the time to make an array depends on the number of pixels.
        part = image.crop(in_pixels(box, *image.size)) if box != WHOLE else image
        pixels = np.asarray(to_rgb(part))
    return resized(pixels, size, interpolation)


def thumbnail(source: Path, longest: int) -> bytes:
    """Encode a small JPEG of the whole photo, with its aspect ratio.

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
    """Load a photo as it is shown; a JPEG at a scale not much larger than ``needed``."""
    content = source if isinstance(source, bytes) else read_photo(source)
    return load_upright(content, needed).image


@contextmanager
def _naming(source: Path | bytes, name: str | None) -> Iterator[None]:
    """Name the photo in errors: broken photos make the libraries raise nearly every kind."""
    try:
        yield
    except Exception as error:
        what = name or (f"{len(source)} bytes" if isinstance(source, bytes) else source)
        raise DataError(
            f"the photo {printable(what)} cannot be read: {reason_of(error)}"
        ) from error


def in_pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the smallest box of whole pixels around ``box``; it is never empty."""
    left, upper = floor(box[0] * width), floor(box[1] * height)
    # Rounded sums of shares may lie slightly outside of the photo.
    right, lower = min(width, ceil(box[2] * width)), min(height, ceil(box[3] * height))
    return (
        min(left, width - 1),
        min(upper, height - 1),
        max(right, min(left, width - 1) + 1),
        max(lower, min(upper, height - 1) + 1),
    )


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB; 16-bit grey is scaled to 8 bits, since Pillow's own conversion clips it."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")

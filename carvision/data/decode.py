"""A photo file as an RGB image of the wanted size, the whole of it or a crop."""

from io import BytesIO
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from carvision.errors import DataError

#: Pillow raises above twice this many pixels; beyond it a photo is a decompression bomb.
Image.MAX_IMAGE_PIXELS = 100_000_000

#: Pillow's plugins raise many kinds of errors on broken files; each means the same here.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)

#: Left, upper, right, lower edge as shares of the shown photo's width and height.
Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def decode(
    source: Path | bytes, size: int, box: Box = WHOLE, *, name: str | None = None
) -> NDArray[np.uint8]:
    """The part ``box`` of a photo, squashed into a square: ``[size, size, 3]``, RGB.

    Squashing keeps every pixel of the car in sight, and training crops are squashed alike. A JPEG
    is decoded straight to the nearest scale that still covers ``size`` (DCT scaling).

    Raises:
        DataError: the photo cannot be read; the error names it.
    """
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            needed = ceil(size / min(box[2] - box[0], box[3] - box[1]))
            image.draft("RGB", (needed, needed))
            shown = to_rgb(ImageOps.exif_transpose(image))
    except UNREADABLE as error:
        what = name or (f"{len(source)} bytes" if isinstance(source, bytes) else str(source))
        raise DataError(f"the photo {what} cannot be read: {error}") from error
    width, height = shown.size
    edges = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    resized = shown.resize((size, size), Image.Resampling.BICUBIC, box=edges, reducing_gap=3.0)
    return np.array(resized)


def to_rgb(image: Image.Image) -> Image.Image:
    """``image`` in RGB; 16-bit grey is scaled to 8 bits, where Pillow's own conversion clips it."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")

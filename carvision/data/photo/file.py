"""Read a photo's file, and load it the way up that it is shown."""

import hashlib
import os
import stat
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image, UnidentifiedImageError

from carvision.data.names import printable
from carvision.data.photo.metadata import without_metadata
from carvision.data.photo.orientation import is_turned_when_loaded, orientation_of, turned

#: O_NONBLOCK, so that opening a pipe does not wait for a writer; O_BINARY for Windows.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LONGEST_REASON: Final = 200


class Upright(NamedTuple):
    """A loaded photo as it is shown, and the format, mode and orientation of its file."""

    image: Image.Image
    format: str
    mode: str
    orientation: int


def read_photo(path: Path) -> bytes:
    """Read a regular file; a pipe or a device is refused, since it may never end.

    Raises:
        OSError: the file does not exist, cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("no regular file, but a folder, a pipe or a device")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def hash_of(content: bytes) -> str:
    """Return the hash that identifies a photo's content: the first 128 bits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:32]


def load_upright(content: bytes, needed: int | None = None) -> Upright:
    """Decode a photo and turn it as its EXIF orientation says.

    Where Pillow fails, the photo is tried again without its other metadata, which may be damaged.
    A JPEG of more than ``needed`` pixels a side may be decoded at the nearest scale that still has
    ``needed`` pixels (DCT scaling).

    Raises:
        Exception: Pillow and its codecs raise nearly every kind of error on broken files.
    """
    try:
        return _loaded(content, content, needed)
    except (Image.DecompressionBombError, MemoryError):
        raise
    except Exception as error:
        bare = without_metadata(content)
        if bare is None:
            raise
        try:
            return _loaded(bare.content, bare.exif, needed)
        except Exception:
            raise error from None


def reason_of(error: Exception) -> str:
    """Say on one line, without the photo's path, why it cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(f"{type(error).__name__}: {words}"[:_LONGEST_REASON].rstrip(": "))


def _loaded(content: bytes, metadata: bytes, needed: int | None) -> Upright:
    image = Image.open(BytesIO(content))
    form, mode = image.format or "", image.mode
    turned_by_pillow = is_turned_when_loaded(image)
    if needed is not None:
        image.draft("RGB", (needed, needed))
    image.load()
    # After loading: a PNG may have its orientation behind the pixels.
    orientation = orientation_of(image, metadata)
    shown = image if turned_by_pillow else turned(image, orientation)
    return Upright(shown, form, mode, orientation)

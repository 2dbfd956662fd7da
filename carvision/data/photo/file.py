"""A photo's file: read where it is a regular file, and loaded the way it is shown."""

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

#: A pipe is opened without waiting for somebody to write into it. (Windows has neither flag, or
#: the other one.)
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LONGEST_REASON: Final = 200


class Upright(NamedTuple):
    """A loaded photo as it is shown, and what its file says of itself."""

    image: Image.Image
    format: str
    mode: str
    orientation: int


def read_photo(path: Path) -> bytes:
    """The content of a regular file; a pipe or a device may never end.

    Raises:
        OSError: there is no such file, it cannot be read, or is none.
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
    """What names a photo's content: the first 128 bits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:32]


def load_upright(content: bytes, needed: int | None = None) -> Upright:
    """Decode a photo and turn it as its orientation says, whatever else its metadata say.

    A JPEG that is larger than ``needed`` pixels may come at the nearest scale that covers it.

    Raises:
        Exception: Pillow and its codecs raise nearly every kind on broken files.
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
    """Why a photo cannot be read, on one line and without its path."""
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
    # Only now: a PNG may say it behind its pixels.
    orientation = orientation_of(image, metadata)
    shown = image if turned_by_pillow else turned(image, orientation)
    return Upright(shown, form, mode, orientation)

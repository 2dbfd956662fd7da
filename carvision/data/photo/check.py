"""Find unreadable photos before a long prediction begins."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from os import cpu_count
from pathlib import Path
from typing import Final

from carvision.data.photo.decode import decode
from carvision.errors import DataError

#: In pixels. A JPEG is read to its end, even if it is decoded at an eighth of its size.
_SIDE: Final = 32


def unreadable_photos(
    paths: Sequence[Path], progress: Callable[[int], None] = lambda done: None
) -> dict[int, str]:
    """Decode each photo; return the reason for each failure by its position in ``paths``.

    Photos are decoded in threads, since Pillow releases the GIL. A photo that was decoded is not
    decoded again by this process while its size and time stay the same.
    """
    found: dict[int, str] = {}
    pool = ThreadPoolExecutor(cpu_count() or 1)
    try:
        for place, fault in enumerate(pool.map(_fault, paths)):
            if fault:
                found[place] = fault
            progress(1)
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _fault(path: Path) -> str:
    """Say why a photo cannot be decoded; an empty text where it can."""
    try:
        status = path.stat()
        if not path.is_file():
            return f"{path} is not a file"
        _decoded(path, status.st_size, status.st_mtime_ns)
    except (DataError, OSError) as error:
        return str(error)
    return ""


@cache
def _decoded(path: Path, size: int, modified: int) -> None:
    """Decode a photo; the cache keeps no failure, so a photo that was repaired is tried again."""
    decode(path, _SIDE)

"""Photos are decoded once before hours are spent on them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from os import cpu_count
from pathlib import Path
from typing import Final

from carvision.data.photo.decode import decode
from carvision.errors import DataError

#: Pixels; a JPEG is read to its end even where an eighth of its pixels are computed.
_SIDE: Final = 32


def unreadable_photos(
    paths: Sequence[Path], progress: Callable[[int], None] = lambda done: None
) -> dict[int, str]:
    """Why each photo that cannot be decoded cannot, by its position in ``paths``.

    Decoding releases the interpreter's lock, so threads do the work of processes. Sound photos are
    not decoded again by this process while their size and time stay the same.
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
    """Why a photo cannot be decoded, or nothing."""
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
    """Decode a photo; what it raises is not remembered, so that a repaired photo is tried again."""
    decode(path, _SIDE)

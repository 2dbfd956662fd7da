"""Scan photos: size, content hash, perceptual hash, and whether each can be read."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import Any

import imagehash
import pandas as pd

from carvision.data.folder.listing import Photo
from carvision.data.names import portable_path
from carvision.data.photo.decode import to_rgb
from carvision.data.photo.file import hash_of, load_upright, read_photo, reason_of
from carvision.files import replacing

log = logging.getLogger(__name__)


def scan_photos(
    root: Path,
    photos: Sequence[Photo],
    progress: Callable[[int], None] = lambda done: None,
    cache: Path | None = None,
) -> pd.DataFrame:
    """Scan photos in threads, which decode in parallel since Pillow releases the GIL.

    Args:
        root: The folder that the photos' paths are relative to.
        photos: The photos.
        progress: Called with the number of photos just scanned.
        cache: A file that remembers the scan: photos of the same size and time are not read again.

    Returns:
        One row per photo: ``image_id``, ``path`` (:func:`~carvision.data.names.portable_path`),
        ``format``, ``mode`` and EXIF ``orientation`` (as stored), ``width`` and ``height`` (as
        shown), ``content_hash``, ``perceptual_hash`` and ``excluded`` (empty, or why the photo
        cannot be used).
    """
    known = _remembered(cache)
    rows = []
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        for row in pool.map(lambda photo: known.get(_key(photo)) or _scan(root, photo), photos):
            rows.append(row)
            progress(1)
    frame = pd.DataFrame(rows)
    if cache is not None and len(frame):
        touched = {"size": [p.size for p in photos], "modified": [p.modified for p in photos]}
        with replacing(cache) as temporary:
            frame.assign(**touched).to_parquet(temporary, index=False)
    return frame


def _remembered(cache: Path | None) -> dict[tuple[str, int, int], dict[str, Any]]:
    if cache is None or not cache.exists():
        return {}
    try:
        rows = pd.read_parquet(cache).to_dict("records")
        if rows and "orientation" not in rows[0]:
            return {}  # an earlier version wrote fewer columns
        # A photo that could not be read is tried again: its disk may have been away.
        sound = ({str(k): v for k, v in row.items()} for row in rows if not row["excluded"])
        return {(r["path"], r.pop("size"), r.pop("modified")): r for r in sound}
    except (OSError, ValueError, KeyError) as error:
        log.warning("the remembered scan %s cannot be read; scanning again: %s", cache, error)
        return {}


def _key(photo: Photo) -> tuple[str, int, int]:
    return (portable_path(photo.path), photo.size, photo.modified)


def _scan(root: Path, photo: Photo) -> dict[str, Any]:
    row: dict[str, Any] = {
        "image_id": photo.image_id,
        "path": portable_path(photo.path),
        "format": "",
        "mode": "",
        "orientation": 1,
        "width": 0,
        "height": 0,
        "content_hash": "",
        "perceptual_hash": "",
        "excluded": "",
    }
    try:
        content = read_photo(root / photo.path)
        row["content_hash"] = hash_of(content)
        shown = load_upright(content)
        row["perceptual_hash"] = str(imagehash.phash(to_rgb(shown.image)))
        row["format"], row["mode"] = shown.format, shown.mode
        row["orientation"] = shown.orientation
        row["width"], row["height"] = shown.image.size
    # Broken photos make the libraries raise nearly every kind of error.
    except Exception as error:
        row["excluded"] = f"unreadable: {reason_of(error)}"
    return row

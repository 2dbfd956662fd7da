"""Look at each photo once: size, content hash, perceptual hash, and whether it can be read."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from os import cpu_count
from pathlib import Path

import imagehash
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError

from carvision.data.decode import UNREADABLE, to_rgb
from carvision.data.layout import Photo


def scan_photos(
    root: Path, photos: Sequence[Photo], progress: Callable[[int], None] = lambda done: None
) -> pd.DataFrame:
    """One row a photo: ``image_id``, ``path``, ``width``, ``height`` (as shown), ``content_hash``,
    ``perceptual_hash`` and ``excluded`` (empty, or why the photo cannot be used).

    Decoding releases the interpreter's lock, so threads do the work of processes.
    """
    rows = []
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        for row in pool.map(lambda photo: _scan(root, photo), photos):
            rows.append(row)
            progress(1)
    return pd.DataFrame(rows)


def _scan(root: Path, photo: Photo) -> dict[str, object]:
    row: dict[str, object] = {
        "image_id": photo.image_id,
        "path": photo.path,
        "width": 0,
        "height": 0,
        "content_hash": "",
        "perceptual_hash": "",
        "excluded": "",
    }
    full = root / photo.path
    try:
        content = full.read_bytes()
        row["content_hash"] = hashlib.sha256(content).hexdigest()[:32]
        with Image.open(BytesIO(content)) as image:
            image.load()
            shown = ImageOps.exif_transpose(image)
            row["width"], row["height"] = shown.size
            row["perceptual_hash"] = str(imagehash.phash(to_rgb(shown)))
    except UnidentifiedImageError:
        row["excluded"] = "unreadable: not an image"
    except UNREADABLE as error:
        row["excluded"] = f"unreadable: {type(error).__name__}: {error}"
    return row

"""``what=prepare``: scan as many photos as the competition has, and divide a million rows."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.benchmarks.contest import contest
from carvision.benchmarks.photos import write_photos
from carvision.benchmarks.rows import Row
from carvision.config import SplitSettings
from carvision.contracts import ClassMap
from carvision.data.folder.layout import Layout
from carvision.data.preparation.build import divided
from carvision.data.preparation.scan import scan_photos

PHOTOS = 33_137
ROWS = 1_000_000
_CLASSES = 396
_SIZE = (690, 437)


def preparation_rows(
    originals: Sequence[NDArray[np.uint8]],
    work: Path,
    *,
    photos: int = PHOTOS,
    rows: int = ROWS,
) -> list[Row]:
    """Measure a first and a second scan, and the groups, folds and fingerprint of many rows."""
    root = work / "photos"
    write_photos(originals, root, _SIZE, photos, classes=min(_CLASSES, photos // 2))
    cache = work / "scan.parquet"
    scan = contest({"scan": partial(_build_scan, root, cache, anew=True)}, passes=1)["scan"]
    again = contest({"scan": partial(_build_scan, root, cache, anew=False)}, passes=1)["scan"]
    divide = contest({"divide": partial(_build_divide, rows)}, passes=1)["divide"]
    size = f"{_SIZE[0]}x{_SIZE[1]}"
    return [
        Row.within(f"scan {photos:,} photos of {size}", photos / scan.rate, "s", 120),
        Row.within("scan, peak memory", scan.memory / 2**20, "MiB", 1024),
        Row(f"scan {photos:,} unchanged photos", photos / again.rate, "s"),
        Row.within(f"groups, folds, fingerprint of {rows:,} rows", rows / divide.rate, "s", 60),
        Row.within("groups, folds, fingerprint, peak memory", divide.memory / 2**20, "MiB", 2048),
    ]


def _build_scan(root: Path, cache: Path, *, anew: bool) -> Callable[[], int]:
    layout = Layout.at(root)

    def run() -> int:
        if anew:
            cache.unlink(missing_ok=True)
        return len(scan_photos(layout.root, layout.training_photos(), cache=cache))

    return run


def _build_divide(rows: int) -> Callable[[], int]:
    frame = _synthetic_scan(rows)
    classes = ClassMap.of(frame["label"], ())

    def run() -> int:
        manifest = divided(frame, classes, SplitSettings())
        return len(manifest.fingerprint) and len(manifest.frame)

    return run


def _synthetic_scan(rows: int) -> pd.DataFrame:
    """Make up a scan of random hashes; one photo in ten nearly copies one of its class."""
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, rows, dtype=np.uint64)
    label = generator.integers(0, _CLASSES, rows)
    copies = np.arange(rows - rows // 10, rows)
    originals = generator.integers(0, rows - rows // 10, len(copies))
    flipped = np.uint64(1) << generator.integers(0, 64, len(copies), dtype=np.uint64)
    hashes[copies] = hashes[originals] ^ flipped
    label[copies] = label[originals]
    names = [f"class_{k:03d}" for k in label]
    ids = [f"train/{name}/{name}_{k:07d}.jpg" for k, name in enumerate(names)]
    return pd.DataFrame(
        {
            "image_id": ids,
            "path": ids,
            "format": "JPEG",
            "mode": "RGB",
            "orientation": 1,
            "width": _SIZE[0],
            "height": _SIZE[1],
            "content_hash": [f"{value:032x}" for value in range(rows)],
            "perceptual_hash": [f"{value:016x}" for value in hashes],
            "excluded": "",
            "label": names,
        }
    )

"""``what=input``: images a second and core, from the files and from the cache.

Each loader has one worker process, so a rate is a core's. All of them crop, flip and recolour, and
stop at the uint8 batch, since the device normalises. The rivals are timm's data set, transform and
loader, and Pillow with albumentations in a DataLoader. Memory is the peak of the larger of a
loader's two processes; on disk, a photo of the cache stands beside its file.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carvision.benchmarks.contest import Build, Measurement, contest
from carvision.benchmarks.input_rivals import albumentations_loader, one_pass, timm_loader
from carvision.benchmarks.photos import write_photos
from carvision.benchmarks.rows import Row
from carvision.config import Config, SplitSettings, load_config
from carvision.data.folder.layout import Layout
from carvision.data.loading.cache import PhotoCache
from carvision.data.loading.training_photos import EpochSampler, training_loader
from carvision.data.manifest import Manifest
from carvision.data.preparation.build import build_manifest
from carvision.training import training_photos

PHOTO_SIZES = ((1280, 960), (690, 437))
IMAGE_SIZES = (224, 384, 600)
PASSES = 5
CONTENDERS = 5
_BATCH = 32
#: Times the rate of Pillow + albumentations at 384 px, by photo size.
_FILES_TARGET = {(1280, 960): 3.0, (690, 437): 1.0}
_CACHE_TARGET = {(1280, 960): 8.0, (690, 437): 2.0}
_LOADER_TARGET = 0.8


def input_rows(
    originals: Sequence[NDArray[np.uint8]],
    work: Path,
    *,
    count: int = 128,
    passes: int = PASSES,
    photo_sizes: Sequence[tuple[int, int]] = PHOTO_SIZES,
    image_sizes: Sequence[int] = IMAGE_SIZES,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Row]:
    """Measure with ``count`` photos of each size, written below ``work``."""
    rows = []
    for photo_size in photo_sizes:
        root = work / f"{photo_size[0]}x{photo_size[1]}"
        write_photos(originals, root, photo_size, count)
        layout = Layout.at(root)
        manifest = build_manifest(layout, layout.training_photos(), SplitSettings(folds=2))
        for px in image_sizes:
            rows += _scenario(photo_size, px, manifest, root, work, passes, progress)
    return rows


def _scenario(
    photo_size: tuple[int, int],
    px: int,
    manifest: Manifest,
    root: Path,
    work: Path,
    passes: int,
    progress: Callable[[int], None],
) -> list[Row]:
    config = _config(px)
    assert config.cache_side is not None  # a cache was asked for, of a side that fits
    cache = PhotoCache(work / "caches", manifest, config.cache_side)
    cache.write(root)
    train, augmentation = root / "train", config.augmentation
    contenders: dict[str, Build] = {
        "files": partial(_build_loader, config, manifest, root, None),
        "cache": partial(_build_loader, config, manifest, root, cache),
        "bare": partial(_build_bare, config, manifest, root, cache),
        "timm": timm_loader(train, px, _BATCH, augmentation),
        "albumentations": albumentations_loader(train, px, _BATCH, augmentation),
    }
    results = contest(contenders, passes, progress)
    file_bytes = np.mean([path.stat().st_size for path in train.rglob("*.jpg")])
    return _rows(photo_size, px, results, cache.bytes_needed / cache.photo_count, float(file_bytes))


def _rows(
    photo_size: tuple[int, int],
    px: int,
    results: dict[str, Measurement],
    cache_bytes: float,
    file_bytes: float,
) -> list[Row]:
    name = f"{photo_size[0]}x{photo_size[1]} to {px} px"
    unit = "images/s"
    rows = []
    for own, targets in (("files", _FILES_TARGET), ("cache", _CACHE_TARGET)):
        rate = results[own].rate
        target = targets[photo_size] if px == 384 and photo_size in targets else None
        rows += [
            Row.more_is_better(
                f"{name}, {own}",
                rate,
                unit,
                "albumentations",
                results["albumentations"].rate,
                target,
            ),
            Row.more_is_better(f"{name}, {own}", rate, unit, "timm", results["timm"].rate),
        ]
    rows.append(
        Row.more_is_better(
            f"{name}, cache",
            results["cache"].rate,
            unit,
            "no loader",
            results["bare"].rate,
            _LOADER_TARGET if px == 384 else None,
        )
    )
    peaks = {key: result.memory / 2**20 for key, result in results.items()}
    rows += [
        Row.less_is_better(
            f"{name}, {own}, memory", peaks[own], "MiB", "albumentations", peaks["albumentations"]
        )
        for own in ("files", "cache")
    ]
    rows.append(
        Row.less_is_better(
            f"{name}, on disk", cache_bytes / 1e3, "kB", "its JPEG", file_bytes / 1e3
        )
    )
    return rows


def _config(px: int) -> Config:
    sizes = f"model.image_size={px} train.image_size={px}"
    return load_config(overrides=f"{sizes} train.batch_size={_BATCH} loader.workers=1")


def _build_loader(
    config: Config, manifest: Manifest, root: Path, cache: PhotoCache | None
) -> Callable[[], int]:
    photos = training_photos(config, manifest.usable, root, cache)
    sampler = EpochSampler(len(photos), config.seed)
    loader: Any = training_loader(photos, sampler, _BATCH, config.loader, "cpu")

    def run() -> int:
        sampler.epoch += 1
        return one_pass(loader)

    return run


def _build_bare(
    config: Config, manifest: Manifest, root: Path, cache: PhotoCache
) -> Callable[[], int]:
    """Decoding and augmentation alone."""
    photos = training_photos(config, manifest.usable, root, cache)
    sampler = EpochSampler(len(photos), config.seed)

    def run() -> int:
        sampler.epoch += 1
        whole_batches = len(photos) // _BATCH * _BATCH
        return sum(1 for key in islice(sampler, whole_batches) if photos[key])

    return run

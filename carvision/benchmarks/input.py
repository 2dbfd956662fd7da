"""``what=input``: images that one core loads in a second, from the files and from the cache.

Each loader has one worker process, so a rate is a core's. All loaders crop, flip and recolour, and
stop at the uint8 batch, since the device normalises. The rivals are timm's data set, transform and
loader, and Pillow with albumentations in a DataLoader. Memory is the peak of the larger of a
loader's two processes. The row "on disk" compares a cached photo with its file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

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

_BATCH: Final = 32
_CONTENDERS: Final = 5
#: The image size that has targets, in pixels.
_TARGET_SIZE: Final = 384
#: Times the rate of Pillow with albumentations, by photo size.
_TARGETS: Final = {
    (1280, 960): {"files": 3.0, "cache": 8.0},
    (690, 437): {"files": 1.0, "cache": 2.0},
}
#: Times the rate of decoding and augmenting without a loader.
_LOADER_TARGET: Final = 0.8


@dataclass(frozen=True)
class Extent:
    """How much is measured: photos of each size, passes over them, sizes (width, height)."""

    photos: int = 128
    passes: int = 5
    photo_sizes: Sequence[tuple[int, int]] = ((1280, 960), (690, 437))
    image_sizes: Sequence[int] = (224, 384, 600)

    @property
    def measurements(self) -> int:
        """The number of passes of all contenders, which ``progress`` counts."""
        return len(self.photo_sizes) * len(self.image_sizes) * _CONTENDERS * self.passes


def input_rows(
    originals: Sequence[NDArray[np.uint8]],
    work: Path,
    extent: Extent,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Row]:
    """Measure with photos made of ``originals``, written below ``work``."""
    rows = []
    for photo_size in extent.photo_sizes:
        root = work / _name(photo_size)
        write_photos(originals, root, photo_size, extent.photos)
        layout = Layout.at(root)
        manifest = build_manifest(layout, layout.training_photos(), SplitSettings(folds=2))
        for size in extent.image_sizes:
            scenario = _scenario(manifest, root, size)
            results = contest(scenario.contenders(), extent.passes, progress)
            rows += _rate_rows(photo_size, size, results)
            rows += _cost_rows(scenario, f"{_name(photo_size)} to {size} px", results)
    return rows


@dataclass(frozen=True)
class _Scenario:
    """Photos of one size, which are loaded as images of one size."""

    config: Config
    manifest: Manifest
    root: Path
    cache: PhotoCache

    def contenders(self) -> dict[str, Build]:
        """Our loader from files and from the cache, the cache without a loader, the rivals."""
        train, augmentation = self.root / "train", self.config.augmentation
        size = self.config.train_image_size
        return {
            "files": partial(_build_loader, self, from_cache=False),
            "cache": partial(_build_loader, self, from_cache=True),
            "bare": partial(_build_bare, self),
            "timm": timm_loader(train, size, _BATCH, augmentation),
            "albumentations": albumentations_loader(train, size, _BATCH, augmentation),
        }


def _scenario(manifest: Manifest, root: Path, size: int) -> _Scenario:
    sizes = f"model.image_size={size} train.image_size={size}"
    config = load_config(overrides=f"{sizes} train.batch_size={_BATCH} loader.workers=1")
    assert config.cache_side is not None  # base.yaml asks for a cache
    cache = PhotoCache(root.parent / "caches", manifest, config.cache_side)
    cache.write(root)
    return _Scenario(config, manifest, root, cache)


def _rate_rows(
    photo_size: tuple[int, int], size: int, results: Mapping[str, Measurement]
) -> list[Row]:
    name, unit = f"{_name(photo_size)} to {size} px", "images/s"
    targets = _TARGETS.get(photo_size, {}) if size == _TARGET_SIZE else {}
    rate = {key: result.rate for key, result in results.items()}
    rows = []
    for own in ("files", "cache"):
        for rival, target in (("albumentations", targets.get(own)), ("timm", None)):
            what = f"{name}, {own}"
            rows.append(Row.against(what, rate[own], unit, rival, rate[rival], target))
    target = _LOADER_TARGET if size == _TARGET_SIZE else None
    what = f"{name}, cache"
    rows.append(Row.against(what, rate["cache"], unit, "no loader", rate["bare"], target))
    return rows


def _cost_rows(scenario: _Scenario, name: str, results: Mapping[str, Measurement]) -> list[Row]:
    mib = {key: result.memory / 2**20 for key, result in results.items()}
    rival = "albumentations"
    rows = [
        Row.against(f"{name}, {own}, memory", mib[own], "MiB", rival, mib[rival])
        for own in ("files", "cache")
    ]
    cached = scenario.cache.bytes_needed / scenario.cache.photo_count
    files = [path.stat().st_size for path in (scenario.root / "train").rglob("*.jpg")]
    file_bytes = float(np.mean(files))
    rows.append(Row.against(f"{name}, on disk", cached / 1e3, "kB", "its JPEG", file_bytes / 1e3))
    return rows


def _name(photo_size: tuple[int, int]) -> str:
    return f"{photo_size[0]}x{photo_size[1]}"


def _build_loader(scenario: _Scenario, *, from_cache: bool) -> Callable[[], int]:
    config, cache = scenario.config, scenario.cache if from_cache else None
    photos = training_photos(config, scenario.manifest.usable, scenario.root, cache)
    sampler = EpochSampler(len(photos), config.seed)
    loader: Any = training_loader(photos, sampler, _BATCH, config.loader, "cpu")

    def run() -> int:
        sampler.epoch += 1
        return one_pass(loader)

    return run


def _build_bare(scenario: _Scenario) -> Callable[[], int]:
    """Decoding and augmentation alone, from the cache."""
    config = scenario.config
    photos = training_photos(config, scenario.manifest.usable, scenario.root, scenario.cache)
    sampler = EpochSampler(len(photos), config.seed)

    def run() -> int:
        sampler.epoch += 1
        whole_batches = len(photos) // _BATCH * _BATCH
        return sum(1 for key in islice(sampler, whole_batches) if photos[key])

    return run

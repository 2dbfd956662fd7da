"""The cache of resized photos: whether a training run gets one, and that it is there."""

from pathlib import Path

from carvision import workspace
from carvision.config import Config
from carvision.data.loading.cache import PhotoCache
from carvision.data.manifest import Manifest
from carvision.errors import DataError
from carvision.pipelines.prepare.prepared_data import PreparedData
from carvision.reporting.console import announce, progress

#: A cache of more bytes is written only where the files have so many times its pixels. Decoding
#: costs by the pixel, so it saves half of that or more; a network that wants larger photos takes
#: its time over them, and does not wait for decoding.
_LARGE = 2**30
_LEAST_GAIN = 2.0


def chosen_cache(config: Config, prepared: PreparedData) -> PhotoCache | None:
    """The cache that ``config`` trains from, written or not; None reads the files.

    With ``data.cache=auto`` there is none where it would have no fewer pixels than the files, nor
    one of more than 1 GiB where the files have less than twice its pixels. The choice depends on
    the configuration and the data alone, since results depend on it.

    Raises:
        DataError: it is not written yet, and would take more than half of the free disk.
    """
    side = config.cache_side
    if side is None:
        if config.data.cache not in ("auto", False):
            announce(
                f"data.cache={config.data.cache} is too small for {config.name}, which would see "
                "blurred photos: it reads the files"
            )
        return None
    cache = PhotoCache(workspace.CACHES, prepared.manifest, side)
    if config.data.cache == "auto" and not _is_worth_it(cache, prepared.manifest):
        return None
    if not cache.is_written() and not cache.fits():
        raise DataError(
            f"the cache of resized photos of {config.name} takes "
            f"{cache.bytes_needed / 2**30:.1f} GiB, more than half of the free disk: make room, or "
            "set data.cache=off (slower: training reads the files)"
        )
    return cache


def _is_worth_it(cache: PhotoCache, manifest: Manifest) -> bool:
    """Whether reading ``cache`` saves so much decoding that it is worth its room on the disk."""
    photos = manifest.usable
    gain = float((photos["width"] * photos["height"]).median()) / cache.side**2
    return gain >= _LEAST_GAIN or (gain > 1 and cache.bytes_needed <= _LARGE)


def write_cache(cache: PhotoCache, root: Path) -> None:
    """Write ``cache`` unless it is there.

    Raises:
        DataError: a photo is gone or has changed, or the disk is too small.
    """
    if cache.is_written():
        return
    announce(
        f"keeping the photos at {cache.side} px for training: "
        f"{cache.bytes_needed / 2**30:.2f} GiB in {cache.folder} "
        "(data.cache=off reads the files in every epoch)"
    )
    with progress("resizing", cache.photo_count) as advance:
        cache.write(root, advance)

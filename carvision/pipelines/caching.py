"""The cache of resized photos: whether a training run gets one, and that it is there."""

from pathlib import Path

from carvision.config import Config
from carvision.data.cache import PhotoCache
from carvision.errors import DataError
from carvision.pipelines.prepare import PreparedData
from carvision.pipelines.session import announce
from carvision.reporting.console import progress

CACHES = Path("work/cache")


def chosen_cache(config: Config, prepared: PreparedData) -> PhotoCache | None:
    """The cache that ``config`` trains from, written or not; None reads the files.

    With ``data.cache=auto`` there is none where it would have no fewer pixels than the files. The
    choice depends on the configuration and the data alone, since results depend on it.

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
    cache = PhotoCache(CACHES, prepared.manifest, side)
    photos = prepared.manifest.usable
    few = (photos["width"] * photos["height"]).median() <= side**2
    if config.data.cache == "auto" and few:
        return None
    if not cache.is_written() and not cache.fits():
        raise DataError(
            f"the cache of resized photos of {config.name} takes "
            f"{cache.bytes_needed / 2**30:.1f} GiB, more than half of the free disk: make room, or "
            "set data.cache=off (slower: training reads the files)"
        )
    return cache


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

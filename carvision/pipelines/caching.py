"""The cache of resized photos: whether a training run gets one, and that it is there."""

from pathlib import Path

from carvision.config import Config
from carvision.data.cache import PhotoCache
from carvision.pipelines.prepare import PreparedData
from carvision.pipelines.session import announce
from carvision.reporting.console import progress

CACHES = Path("work/cache")


def photo_cache(config: Config, prepared: PreparedData) -> PhotoCache | None:
    """The cache that ``config`` trains from, written now where there is none; None for the files.

    Raises:
        DataError: a photo is gone, or the disk is too small.
    """
    side = config.cache_side
    if side is None:
        if config.data.cache not in ("auto", False):
            announce(
                f"data.cache={config.data.cache} is too small for {config.name}, which would see "
                "blurred photos: it reads the files"
            )
        return None
    photos = prepared.manifest.usable
    if config.data.cache == "auto" and (photos["width"] * photos["height"]).median() <= side**2:
        return None  # no fewer pixels than the files have: too little is won for the disk
    cache = PhotoCache(CACHES, prepared.manifest, side)
    if not cache.is_written():
        announce(
            f"keeping the photos at {side} px for training: {cache.bytes_needed / 2**30:.2f} GiB "
            f"in {cache.folder} (data.cache=off reads the files in every epoch)"
        )
        with progress("resizing", cache.photo_count) as advance:
            cache.write(prepared.layout.root, advance)
    return cache

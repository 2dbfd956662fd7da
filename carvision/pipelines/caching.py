"""The cache of resized photos: whether a training run gets one, and that it is there."""

from pathlib import Path

from carvision.config import Config
from carvision.data.cache import PhotoCache
from carvision.pipelines.prepare import PreparedData
from carvision.pipelines.session import announce
from carvision.reporting.console import progress

CACHES = Path("work/cache")


def chosen_cache(config: Config, prepared: PreparedData) -> PhotoCache | None:
    """The cache that ``config`` would train from, written or not; None reads the files.

    With ``data.cache=auto`` there is none where it would have no fewer pixels than the files, or
    would take more than half of the free disk.
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
    if config.data.cache != "auto" or cache.is_written():
        return cache
    photos = prepared.manifest.usable
    if (photos["width"] * photos["height"]).median() <= side**2:
        return None
    if not cache.fits():
        announce(
            f"no cache of resized photos: its {cache.bytes_needed / 2**30:.1f} GiB are more than "
            "half of the free disk; training reads the files (data.cache=PX takes a size)"
        )
        return None
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

"""The choice of a cache of resized photos: whether training reads from one, and of which size."""

import logging

from carvision import workspace
from carvision.config import Config
from carvision.data.loading.cache import PhotoCache
from carvision.data.manifest import Manifest
from carvision.errors import DataError

log = logging.getLogger(__name__)

#: A cache of more bytes is worth its room only where the files have this many times its pixels.
#: Decoding time grows with the pixels, so such a cache saves at least half of it. With less to
#: gain, large photos go to large networks, which take longer to train than photos to decode.
_LARGE = 2**30
_LEAST_GAIN = 2.0


def chosen_cache(config: Config, manifest: Manifest) -> PhotoCache | None:
    """Choose the cache that ``config`` trains from, written or not; None reads the files.

    With ``data.cache=auto`` there is none where it would have no fewer pixels than the files, nor
    one of more than 1 GiB where the files have less than twice its pixels. The choice depends on
    the configuration and the data alone, because the results depend on it.

    Raises:
        DataError: the cache is not written yet, and would take more than half of the free disk.
    """
    side = config.cache_side
    if side is None:
        if config.data.cache not in ("auto", False):
            log.info(
                "data.cache=%s is too small for %s, which would see blurred photos: it reads the "
                "files",
                config.data.cache,
                config.name,
            )
        return None
    cache = PhotoCache(workspace.CACHES, manifest, side)
    if config.data.cache == "auto" and not _is_worth_it(cache, manifest):
        return None
    if not cache.is_written() and not cache.fits():
        raise DataError(
            f"the cache of resized photos of {config.name} takes "
            f"{cache.bytes_needed / 2**30:.1f} GiB, more than half of the free disk: make room, or "
            "set data.cache=off (slower: training reads the files)"
        )
    return cache


def _is_worth_it(cache: PhotoCache, manifest: Manifest) -> bool:
    """Whether reading ``cache`` saves enough decoding to be worth its room on the disk."""
    photos = manifest.usable
    gain = float((photos["width"] * photos["height"]).median()) / cache.side**2
    return gain >= _LEAST_GAIN or (gain > 1 and cache.bytes_needed <= _LARGE)

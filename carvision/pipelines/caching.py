"""Writing the cache of resized photos that a training reads from."""

from carvision.reporting.console import announce, progress
from carvision.training.job import FoldJob


def write_cache(job: FoldJob) -> None:
    """Write the cache of ``job``, if it has one that is not written yet.

    Raises:
        DataError: a photo is gone or has changed, or the disk is too small.
    """
    cache = job.cache
    if cache is None or cache.is_written():
        return
    announce(
        f"keeping the photos at {cache.side} px for training: "
        f"{cache.bytes_needed / 2**30:.2f} GiB in {cache.folder} "
        "(data.cache=off reads the files in every epoch)"
    )
    with progress("resizing", cache.photo_count) as advance:
        cache.write(job.root, advance)

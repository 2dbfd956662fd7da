"""The entry point ``prepare``: photos to a manifest, whatever was prepared before."""

from pathlib import Path

from carvision.config import RunSettings
from carvision.data.preparation.exclusions import read_exclusions, refuse_unknown
from carvision.pipelines.prepare.new_manifest import prepare_anew
from carvision.pipelines.prepare.prepared_data import PreparedData
from carvision.pipelines.prepare.source import find_data
from carvision.reporting.console import announce
from carvision.store.prepared import exclusions_in_force
from carvision.store.server import require_server


def prepare(settings: RunSettings, data: str, exclude: str = "") -> PreparedData:
    """Prepare ``data`` anew.

    ``exclude`` is a CSV of photos to leave out (``image_id`` and, optionally, ``reason``). It
    stays in force whenever the folder is prepared again; ``none`` ends that.

    Raises:
        DataError: the data or the list cannot be read, or the data cannot be prepared.
        TrackingError: the tracking server cannot be reached.
    """
    exclusions = read_exclusions(Path(exclude)) if exclude not in ("", "none") else {}
    require_server()
    found = find_data(data)
    previous = found.previous
    if exclude and found.photos:
        refuse_unknown(exclusions, [photo.image_id for photo in found.photos])
    elif previous is not None:
        exclusions = exclusions_in_force(previous)
        if exclusions:
            announce(
                f"an earlier list leaves out {len(exclusions)} photos (exclude=none ends that)"
            )
    split = settings.data.split(previous.split if previous else None)
    return PreparedData(prepare_anew(found, split, exclusions), found.layout)

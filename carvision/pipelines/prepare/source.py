"""Find the photos that ``data`` names: ``latest``, ``sample``, a folder, or a zip."""

from dataclasses import dataclass
from pathlib import Path

from carvision import workspace
from carvision.config import path_text
from carvision.data.archive.kinds import archive_kind
from carvision.data.archive.unpack import Unpacking
from carvision.data.folder.findings import Findings
from carvision.data.folder.layout import Layout
from carvision.data.folder.listing import Photo, listing_digest
from carvision.data.names import printable
from carvision.data.sample import write_sample
from carvision.errors import DataError
from carvision.reporting.console import announce, progress
from carvision.store.prepared import PreparedRun, prepared_runs


@dataclass(frozen=True)
class FoundData:
    """A folder and its training photos, and the run that prepared them last.

    ``digest`` is of the photos' names, sizes and times.
    """

    layout: Layout
    photos: list[Photo]
    findings: Findings
    digest: str
    previous: PreparedRun | None


def find_data(data: str) -> FoundData:
    """Find the folder of ``data`` and list its training photos.

    Raises:
        DataError: the folder does not exist on this machine, or cannot be listed.
    """
    layout, previous = locate(data)
    listing = layout.listing()
    digest = listing_digest(listing.photos)
    if previous is None and listing.photos:
        previous = _moved_here(digest)
    return FoundData(layout, listing.photos, listing.findings, digest, previous)


def locate(data: str) -> tuple[Layout, PreparedRun | None]:
    """Find the folder of ``data``, and the run that prepared this folder last.

    Raises:
        DataError: the folder does not exist on this machine.
    """
    runs = prepared_runs()
    if data == "latest":
        if runs:
            return _layout_of(runs[0]), runs[0]
        announce("no data was prepared yet: using the embedded sample of scanned digits")
        data = "sample"
    layout = Layout.at(
        write_sample(workspace.SAMPLE) if data == "sample" else opened(Path(path_text(data)))
    )
    return layout, next((run for run in runs if run.root == layout.root), None)


def opened(source: Path) -> Path:
    """Return ``source``, or the folder that it is unpacked to where it is a zip.

    Raises:
        DataError: the archive is broken, or not safe to unpack.
    """
    if not is_zip(source):
        return source
    archive = Unpacking.of(source, workspace.ARCHIVES)
    if not archive.entries:
        return archive.run()
    announce(f"unpacking {source} ({archive.size / 2**20:,.0f} MiB)")
    with progress("unpacking", archive.size) as written:
        return archive.run(written)


def is_zip(source: Path) -> bool:
    """Whether ``source`` is a zip to unpack.

    Raises:
        DataError: it is an archive of another kind or name, or cannot be read.
    """
    try:
        if not source.is_file():
            return False
        kind = "a zip" if source.suffix.lower() == ".zip" else archive_kind(source)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}") from error
    if kind is not None and source.suffix.lower() != ".zip":
        what = "rename it to .zip" if kind == "a zip" else "unpack it by hand and give its folder"
        raise DataError(f"{source} is {kind}, and only a file called .zip is unpacked here: {what}")
    return kind is not None


def _layout_of(run: PreparedRun) -> Layout:
    if not run.root.is_dir():
        raise DataError(
            f"data=latest was prepared from {printable(run.root)}, which is not on this "
            "machine any more; give data=PATH"
        )
    return Layout.at(run.root)


def _moved_here(digest: str) -> PreparedRun | None:
    """The run that prepared the same photos in a folder that does not exist any more.

    Its folds, classes and list of exclusions stay in force, as in a folder that was not moved.
    """
    for run in prepared_runs():
        if run.listing == digest and not run.root.is_dir():
            announce(f"these photos were prepared in {printable(run.root)}, and moved since")
            return run
    return None

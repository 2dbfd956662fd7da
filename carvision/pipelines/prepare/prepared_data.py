"""The data of every other step: checked, found, and prepared where it was not."""

from dataclasses import dataclass
from pathlib import Path

from carvision.config import RunSettings, path_text
from carvision.data.folder.findings import OUT_OF_REACH
from carvision.data.folder.layout import Layout
from carvision.data.manifest import Manifest
from carvision.data.names import printable
from carvision.pipelines.prepare.announcements import announce_data, announce_findings
from carvision.pipelines.prepare.new_manifest import prepare_anew
from carvision.pipelines.prepare.source import find_data, is_zip, locate
from carvision.reporting.console import announce
from carvision.store.prepared import PreparedRun, exclusions_in_force, prepared_runs


@dataclass(frozen=True)
class PreparedData:
    """A manifest and the folder of the photos that it lists."""

    manifest: Manifest
    layout: Layout


def check_data(data: str) -> None:
    """Refuse data that does not exist, before a run is opened for it.

    Raises:
        DataError: there is neither such a folder nor such a zip.
    """
    source = Path(path_text(data))
    if data not in ("latest", "sample") and not is_zip(source):
        Layout.at(source)


def find_layout(data: str) -> Layout:
    """Find the folder of ``data``, prepared or not.

    Raises:
        DataError: the folder does not exist on this machine.
    """
    return locate(data)[0]


def prepared_data(settings: RunSettings, data: str) -> PreparedData:
    """Load prepared data, or prepare it where it was not, or has changed since.

    Raises:
        DataError: the folder does not exist, or cannot be prepared.
    """
    found = find_data(data)
    layout, previous = found.layout, found.previous
    split = settings.data.split(previous.split if previous else None)
    # The list in force is that of the run used last; a run with another list is not used again.
    exclusions = exclusions_in_force(previous)
    same_root = [run for run in prepared_runs() if run.root == layout.root]
    same = [
        run
        for run in same_root
        if run.listing == found.digest and run.split == split and run.excludes(exclusions)
    ]
    if (manifest := _newest_manifest(same)) is not None:
        announce_findings(found.findings.sentences(among=OUT_OF_REACH))
        announce_data(layout.root, manifest)
        return PreparedData(manifest, layout)
    if same_root and not same:
        changed = "the photos" if same_root[0].listing != found.digest else "the folds or classes"
        where = printable(layout.root)
        announce(f"{changed} changed since {where} was prepared; preparing it again")
    return PreparedData(prepare_anew(found, split, exclusions), layout)


def known_manifest(settings: RunSettings, data: str) -> Manifest:
    """Load the manifest for a step that reads no photo; ``latest`` may be of another machine.

    Raises:
        DataError: the data must be prepared, and cannot be.
    """
    runs = prepared_runs()
    if data == "latest" and runs and settings.data.split(runs[0].split) == runs[0].split:
        manifest = runs[0].manifest_or_none()
        if manifest is not None:
            announce_data(runs[0].root, manifest)
            return manifest
    return prepared_data(settings, data).manifest


def _newest_manifest(runs: list[PreparedRun]) -> Manifest | None:
    """The first manifest that can be read; its run becomes the one used last."""
    for run in runs:
        if (manifest := run.manifest_or_none()) is not None:
            run.mark_used()
            return manifest
    return None

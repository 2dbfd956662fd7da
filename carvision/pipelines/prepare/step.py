"""photos -> manifest: look at every photo, merge classes, deal out the folds.

Also how every other step finds its data: ``latest``, ``sample``, or a folder.
"""

import hashlib
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from carvision import workspace
from carvision.config import RunSettings, SplitSettings, path_text
from carvision.data.archive.kinds import archive_kind
from carvision.data.archive.unpack import Unpacking
from carvision.data.folder.findings import OUT_OF_REACH, Findings, Sentence
from carvision.data.folder.layout import Layout, Listing
from carvision.data.folder.listing import listing_digest
from carvision.data.manifest import Manifest
from carvision.data.names import printable
from carvision.data.preparation.build import build_manifest
from carvision.data.preparation.exclusions import read_exclusions, refuse_unknown
from carvision.data.sample import write_sample
from carvision.errors import DataError
from carvision.pipelines.command import command_run, show_address
from carvision.reporting.console import announce, progress
from carvision.reporting.data_page import data_page
from carvision.reporting.tables import show_manifest
from carvision.store.prepared import (
    STAGE_PREPARE,
    PreparedRun,
    Request,
    exclusions_in_force,
    log_prepared,
    prepared_runs,
)
from carvision.store.runs import log_settings
from carvision.store.server import require_server

log = logging.getLogger(__name__)

#: Photos and groups that the console names; the page has the rest.
_MOST_NAMED = 5


@dataclass(frozen=True)
class PreparedData:
    """A manifest and the photos that it lists."""

    manifest: Manifest
    layout: Layout


def prepare(settings: RunSettings, data: str, exclude: str = "") -> PreparedData:
    """The entry point: prepare ``data`` anew, whatever was prepared before.

    ``exclude`` is a CSV of photos to leave out (``image_id`` and, if you like, ``reason``). It
    stays in force whenever the folder is prepared again; ``none`` ends that.
    """
    listed = read_exclusions(Path(exclude)) if exclude not in ("", "none") else {}
    require_server()
    layout, previous = _locate(data)
    listing = layout.listing()
    previous = previous or _moved_here(listing)
    if exclude and listing.photos:
        refuse_unknown(listed, [photo.image_id for photo in listing.photos])
    elif previous is not None:
        listed = exclusions_in_force(previous)
        if listed:
            announce(f"an earlier list leaves out {len(listed)} photos (exclude=none ends that)")
    split = settings.data.split(previous.split if previous else None)
    return _prepare(layout, listing, split, listed)


def prepared_data(settings: RunSettings, data: str) -> PreparedData:
    """The data of another step, prepared now where it was not, or is no longer as it was.

    Raises:
        DataError: the folder does not exist, or cannot be prepared.
    """
    layout, previous = _locate(data)
    listing = layout.listing()
    digest = listing_digest(listing.photos)
    same_root = [run for run in prepared_runs() if run.root == layout.root]
    previous = previous or _moved_here(listing)
    split = settings.data.split(previous.split if previous else None)
    # The run used last has the list in force: one with another list is never taken again.
    listed = exclusions_in_force(previous)
    alike = [
        run
        for run in same_root
        if run.listing == digest and run.split == split and run.excludes(listed)
    ]
    for run in alike:
        if (manifest := run.manifest_or_none()) is not None:
            run.mark_used()
            _say(listing.findings.sentences(among=OUT_OF_REACH))
            announce(_description(layout.root, manifest))
            return PreparedData(manifest, layout)
    if same_root and not alike:
        changed = "the photos" if same_root[0].listing != digest else "the folds or classes"
        where = printable(layout.root)
        announce(f"{changed} changed since {where} was prepared; preparing it again")
    return _prepare(layout, listing, split, listed)


def known_manifest(settings: RunSettings, data: str) -> Manifest:
    """The manifest of a step that needs no photo; ``latest`` may be from another machine."""
    runs = prepared_runs()
    if data == "latest" and runs and settings.data.split(runs[0].split) == runs[0].split:
        manifest = runs[0].manifest_or_none()
        if manifest is not None:
            announce(_description(runs[0].root, manifest))
            return manifest
    return prepared_data(settings, data).manifest


def find_layout(data: str) -> Layout:
    """Where the files of ``data`` lie, whether or not it was prepared.

    Raises:
        DataError: the folder does not exist on this machine.
    """
    return _locate(data)[0]


def check_data(data: str) -> None:
    """Refuse data that is not there before a run is opened for it.

    Raises:
        DataError: there is neither such a folder nor such a zip.
    """
    source = Path(path_text(data))
    if data not in ("latest", "sample") and not _is_zip(source):
        Layout.at(source)


def _is_zip(source: Path) -> bool:
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


def opened(source: Path) -> Path:
    """``source``, or the folder that it unpacks to when it is a zip.

    Raises:
        DataError: the archive is broken, or not safe to unpack.
    """
    if not _is_zip(source):
        return source
    archive = Unpacking.of(source, workspace.ARCHIVES)
    if not archive.entries:
        return archive.run()
    announce(f"unpacking {source} ({archive.size / 2**20:,.0f} MiB)")
    with progress("unpacking", archive.size) as written:
        return archive.run(written)


def _locate(data: str) -> tuple[Layout, PreparedRun | None]:
    """The data's folder, and the run that prepared it last."""
    runs = prepared_runs()
    if data == "latest":
        if not runs:
            announce("no data was prepared yet: using the embedded sample of scanned digits")
            data = "sample"
        else:
            return _layout_of(runs[0]), runs[0]
    layout = Layout.at(
        write_sample(workspace.SAMPLE) if data == "sample" else opened(Path(path_text(data)))
    )
    return layout, next((run for run in runs if run.root == layout.root), None)


def _layout_of(run: PreparedRun) -> Layout:
    if not run.root.is_dir():
        raise DataError(
            f"data=latest was prepared from {printable(run.root)}, which is not on this "
            "machine any more; give data=PATH"
        )
    return Layout.at(run.root)


def _moved_here(listing: Listing) -> PreparedRun | None:
    """The run that prepared these photos where they lay before, if they are gone from there.

    Their folds, classes and list stay in force, as they do in a folder that stayed.
    """
    digest = listing_digest(listing.photos)
    for run in prepared_runs():
        if run.listing == digest and listing.photos and not run.root.is_dir():
            announce(f"these photos were prepared in {printable(run.root)}, and moved since")
            return run
    return None


def _prepare(
    layout: Layout, listing: Listing, split: SplitSettings, listed: dict[str, str]
) -> PreparedData:
    photos, root = listing.photos, layout.root
    present = {photo.image_id for photo in photos}
    excluded = {name: reason for name, reason in listed.items() if name in present}
    with command_run(STAGE_PREPARE, f"prepare {printable(root.name)}") as run:
        log_settings({"data": printable(root), **split.model_dump(mode="json")})
        announce(f"preparing {printable(root)}: {len(photos):,} photos, {split.folds} folds")
        with progress("scanning", len(photos)) as scanned:
            name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
            cache = workspace.SCANS / f"{name}.parquet"
            manifest = build_manifest(layout, photos, split, scanned, excluded, cache)
        layout.count_beside(listing.findings)
        page = data_page(printable(root.name), manifest, root, listing.findings)
        # The list whole: a photo on it may come back, or be repaired.
        log_prepared(manifest, Request(root, listing_digest(photos), split, listed), page)
        show_manifest(manifest)
        _report(manifest, listing.findings)
        show_address(run)
    return PreparedData(manifest, layout)


def _report(manifest: Manifest, findings: Findings) -> None:
    """Name what was passed over, the first photos left out, and those under several labels."""
    _say(findings.sentences())
    left_out = manifest.frame[manifest.frame["excluded"] != ""]
    reasons = zip(left_out["image_id"], left_out["excluded"], strict=True)
    _announce_first("left out", [f"{printable(name)}: {reason}" for name, reason in reasons])
    groups = [", ".join(rows["image_id"]) for _, rows in manifest.conflicts.groupby("group")]
    _announce_first(
        "the same photo under several labels, kept out of validation",
        [printable(group) for group in groups],
    )


def _say(sentences: Iterable[Sentence]) -> None:
    for sentence in sentences:
        if sentence.is_warning:
            log.warning("%s", sentence.text)
        else:
            announce(sentence.text)


def _announce_first(what: str, items: list[str]) -> None:
    for item in items[:_MOST_NAMED]:
        announce(f"{what}: {item}")
    if len(items) > _MOST_NAMED:
        announce(f"{what}: {len(items) - _MOST_NAMED:,} more (the run's data.html has them)")


def _description(root: Path, manifest: Manifest) -> str:
    return (
        f"data: {printable(root)} ({len(manifest.usable):,} photos, "
        f"{len(manifest.classes.names)} classes, {manifest.folds} folds, {manifest.fingerprint})"
    )

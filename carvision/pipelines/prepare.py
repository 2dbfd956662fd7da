"""photos -> manifest: look at every photo, merge classes, deal out the folds.

Also how every other step finds its data: ``latest``, ``sample``, or a folder.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from carvision.config import Config, SplitSettings
from carvision.data.archive import unpacked, unpacked_size
from carvision.data.exclusions import listed_exclusions, read_exclusions
from carvision.data.layout import Layout, Photo, listing_digest
from carvision.data.manifest import Manifest, build_manifest
from carvision.data.sample import write_sample
from carvision.errors import DataError
from carvision.pipelines.session import announce, show_address
from carvision.reporting.console import progress
from carvision.reporting.data_page import data_page
from carvision.reporting.tables import show_manifest
from carvision.tracking.prepared import STAGE_PREPARE, PreparedRun, log_prepared, prepared_runs
from carvision.tracking.store import log_settings, tracked_run

SAMPLE_FOLDER = Path("work/sample")
ARCHIVES = Path("work/archives")
SCANS = Path("work/scans")


@dataclass(frozen=True)
class PreparedData:
    """A manifest and the photos that it lists."""

    manifest: Manifest
    layout: Layout


def prepare(config: Config, data: str, exclude: str = "") -> PreparedData:
    """The entry point: prepare ``data`` anew, whatever was prepared before.

    ``exclude`` is a CSV of photos to leave out (``image_id`` and, if you like, ``reason``). It
    stays in force whenever the folder is prepared again; ``none`` ends that.
    """
    listed = read_exclusions(Path(exclude)) if exclude not in ("", "none") else {}
    layout, previous = _locate(data)
    photos = layout.training_photos()
    if not exclude:
        listed = _listed_before(previous, photos)
        if listed:
            announce(f"an earlier list leaves out {len(listed)} photos (exclude=none ends that)")
    split = config.data.split(previous.split if previous else None)
    return _prepare(layout, photos, split, listed)


def prepared_data(config: Config, data: str) -> PreparedData:
    """The data of another step, prepared now where it was not, or is no longer as it was.

    Raises:
        DataError: the folder does not exist, or cannot be prepared.
    """
    layout, previous = _locate(data)
    photos = layout.training_photos()
    listing = listing_digest(photos)
    same_root = [run for run in prepared_runs() if run.root == layout.root]
    split = config.data.split(previous.split if previous else None)
    for run in same_root:
        if run.listing == listing and run.split == split:
            run.mark_used()
            manifest = run.manifest()
            announce(_description(layout.root, manifest))
            return PreparedData(manifest, layout)
    if same_root:
        changed = "the photos" if same_root[0].listing != listing else "the folds or classes"
        announce(f"{changed} changed since {layout.root} was prepared; preparing it again")
    return _prepare(layout, photos, split, _listed_before(previous, photos))


def known_manifest(config: Config, data: str) -> Manifest:
    """The manifest of a step that needs no photo; ``latest`` may be from another machine."""
    runs = prepared_runs()
    if data == "latest" and runs and config.data.split(runs[0].split) == runs[0].split:
        manifest = runs[0].manifest()
        announce(_description(runs[0].root, manifest))
        return manifest
    return prepared_data(config, data).manifest


def find_layout(data: str) -> Layout:
    """Where the files of ``data`` lie, whether or not it was prepared.

    Raises:
        DataError: the folder does not exist on this machine.
    """
    return _locate(data)[0]


def opened(source: Path) -> Path:
    """``source``, or the folder that it unpacks to when it is a zip.

    Raises:
        DataError: the archive is broken, or not safe to unpack.
    """
    if source.suffix.lower() != ".zip" or not source.is_file():
        return source
    total = unpacked_size(source, ARCHIVES)
    if total == 0:
        return unpacked(source, ARCHIVES)
    announce(f"unpacking {source} ({total / 2**20:,.0f} MiB)")
    with progress("unpacking", total) as written:
        return unpacked(source, ARCHIVES, written)


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
        write_sample(SAMPLE_FOLDER) if data == "sample" else opened(Path(data).expanduser())
    )
    return layout, next((run for run in runs if run.root == layout.root), None)


def _layout_of(run: PreparedRun) -> Layout:
    if not run.root.is_dir():
        raise DataError(
            f"data=latest was prepared from {run.root}, which is not on this machine any more; "
            "give data=PATH"
        )
    return Layout.at(run.root)


def _listed_before(previous: PreparedRun | None, photos: list[Photo]) -> dict[str, str]:
    """What the last list excluded, as far as it is still there."""
    if previous is None:
        return {}
    listed = listed_exclusions(previous.manifest().frame)
    present = {photo.image_id for photo in photos}
    return {name: reason for name, reason in listed.items() if name in present}


def _prepare(
    layout: Layout, photos: list[Photo], split: SplitSettings, listed: dict[str, str]
) -> PreparedData:
    with tracked_run(STAGE_PREPARE, f"prepare {layout.root.name}") as run:
        log_settings({"data": str(layout.root), **split.model_dump(mode="json")})
        announce(f"preparing {layout.root}: {len(photos):,} photos, {split.folds} folds")
        with progress("scanning", len(photos)) as scanned:
            name = hashlib.sha256(str(layout.root).encode()).hexdigest()[:16]
            cache = SCANS / f"{name}.parquet"
            manifest = build_manifest(layout, photos, split, scanned, listed, cache)
        page = data_page(layout.root.name, manifest, layout.root)
        log_prepared(manifest, layout.root, listing_digest(photos), split, page)
        show_manifest(manifest)
        _report(manifest, layout)
        show_address(run)
    return PreparedData(manifest, layout)


def _report(manifest: Manifest, layout: Layout) -> None:
    """Name what was passed over, the first photos left out, and those under several labels."""
    if others := layout.other_files():
        kinds = ", ".join(f"{suffix} ({count:,})" for suffix, count in list(others.items())[:5])
        announce(f"passed over, no photo formats that are read here: {kinds}")
    if empty := layout.empty_classes():
        announce(f"class folders without a photo, so no classes: {', '.join(empty[:5])}")
    left_out = manifest.frame[manifest.frame["excluded"] != ""]
    for name, reason in zip(left_out["image_id"][:5], left_out["excluded"][:5], strict=True):
        announce(f"left out: {name}: {reason}")
    for _, photos in list(manifest.conflicts.groupby("group"))[:5]:
        names = ", ".join(photos["image_id"])
        announce(f"the same photo under several labels, kept out of validation: {names}")


def _description(root: Path, manifest: Manifest) -> str:
    return (
        f"data: {root} ({len(manifest.usable):,} photos, {len(manifest.classes.names)} classes, "
        f"{manifest.folds} folds, {manifest.fingerprint})"
    )

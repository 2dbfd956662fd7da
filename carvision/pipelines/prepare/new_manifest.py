"""Prepare found data in a run of its own: scan the photos, deal out folds, log the manifest."""

import hashlib
import os
from collections.abc import Mapping

from carvision import workspace
from carvision.config import SplitSettings
from carvision.data.manifest import Manifest
from carvision.data.names import printable
from carvision.data.preparation.build import build_manifest
from carvision.pipelines.command import command_run, show_address
from carvision.pipelines.prepare.announcements import announce_manifest
from carvision.pipelines.prepare.source import FoundData
from carvision.reporting.console import announce, progress
from carvision.reporting.data_page import data_page
from carvision.reporting.tables import show_manifest
from carvision.store.prepared import STAGE_PREPARE, Request, log_prepared
from carvision.store.runs import log_settings


def prepare_anew(found: FoundData, split: SplitSettings, exclusions: Mapping[str, str]) -> Manifest:
    """Prepare ``found`` and log the manifest, its page and what it was made from.

    ``exclusions`` gives the reason for each ``image_id`` that the user leaves out. It may list
    photos that are not there: they are logged as well, since they may come back.

    Raises:
        DataError: :func:`~carvision.data.preparation.build.build_manifest` refuses the photos.
    """
    photos, root = found.photos, found.layout.root
    with command_run(STAGE_PREPARE, f"prepare {printable(root.name)}") as run:
        log_settings({"data": printable(root), **split.model_dump(mode="json")})
        announce(f"preparing {printable(root)}: {len(photos):,} photos, {split.folds} folds")
        present = {photo.image_id for photo in photos}
        excluded = {name: reason for name, reason in exclusions.items() if name in present}
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
        scan_cache = workspace.SCANS / f"{name}.parquet"
        with progress("scanning", len(photos)) as scanned:
            manifest = build_manifest(found.layout, photos, split, scanned, excluded, scan_cache)
        found.layout.count_beside(found.findings)
        page = data_page(printable(root.name), manifest, root, found.findings)
        log_prepared(manifest, Request(root, found.digest, split, exclusions), page)
        show_manifest(manifest)
        announce_manifest(manifest, found.findings)
        show_address(run)
    return manifest

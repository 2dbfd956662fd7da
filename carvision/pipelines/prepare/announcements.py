"""Console lines about prepared data: what was passed over, left out, or is used again."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from carvision.data.folder.findings import Findings, Sentence
from carvision.data.manifest import Manifest
from carvision.data.names import printable
from carvision.reporting.console import announce

log = logging.getLogger(__name__)

#: Photos and groups that the console names; the run's page lists all of them.
_MOST_NAMED: Final = 5


def announce_data(root: Path, manifest: Manifest) -> None:
    """Announce which data a step uses."""
    announce(
        f"data: {printable(root)} ({len(manifest.usable):,} photos, "
        f"{len(manifest.classes.names)} classes, {manifest.folds} folds, {manifest.fingerprint})"
    )


def announce_manifest(manifest: Manifest, findings: Findings) -> None:
    """Announce what was passed over, which photos are left out, and which have several labels."""
    announce_findings(findings.sentences())
    left_out = manifest.frame[manifest.frame["excluded"] != ""]
    reasons = zip(left_out["image_id"], left_out["excluded"], strict=True)
    _announce_first("left out", [f"{printable(name)}: {reason}" for name, reason in reasons])
    groups = [", ".join(rows["image_id"]) for _, rows in manifest.conflicts.groupby("group")]
    _announce_first(
        "the same photo under several labels, kept out of validation",
        [printable(group) for group in groups],
    )


def announce_findings(sentences: Iterable[Sentence]) -> None:
    """Announce each finding; one that may be a mistake is a warning."""
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

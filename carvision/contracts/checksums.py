"""SHA-256 sums of stored files, kept apart from them in a tag of their version or run.

A JSON object gives each file's sum by its name below the stored folder. It is compared whenever the
files are read, since damaged weights load without an error and predict something else.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from carvision.files import sha256_of

#: The tag, and the key in a logged model's metadata.
SUMS: Final = "carvision.sha256"


def sums_of(folder: Path) -> str:
    """Compute the sums of all files below ``folder``, as the text of a tag."""
    return json.dumps({name: sha256_of(path) for name, path in files_below(folder).items()})


def damage(files: Mapping[str, Path], stored: str) -> str | None:
    """Compare files with their ``stored`` sums, and say which differs first; None where none does.

    ``files`` are by the names that they had when they were stored.
    """
    sums = _sums(stored)
    if sums is None:
        return f"the tag {SUMS} holds no sums of files: {stored[:100]!r}"
    for name, path in files.items():
        if name not in sums:
            return f"{name} was not among the files that were stored"
        found = sha256_of(path)
        if found != sums[name]:
            return (
                f"{name} is not the file that was stored: its SHA-256 is {found[:16]}…, expected "
                f"{str(sums[name])[:16]}…"
            )
    return None


def damage_below(folder: Path, stored: str) -> str | None:
    """Compare a folder of all files that were stored with their sums; see :func:`damage`."""
    files = files_below(folder)
    missing = sorted((_sums(stored) or {}).keys() - files.keys())
    return f"{missing[0][:100]} is missing" if missing else damage(files, stored)


def _sums(stored: str) -> dict[str, object] | None:
    try:
        sums = json.loads(stored)
    except (ValueError, RecursionError):
        return None
    return sums if isinstance(sums, dict) else None


def files_below(folder: Path) -> dict[str, Path]:
    """Return every file below ``folder`` by its name there."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

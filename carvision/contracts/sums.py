"""SHA-256 sums of stored files, which stand apart from them: in a tag of their version or run.

A JSON object gives each file's sum by its name below the folder that was stored. It is compared
whenever the files are read: weights with some bytes flipped load, and predict something else.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from carvision.files import sha256_of

#: The tag, and the key in a logged model's metadata.
SUMS: Final = "carvision.sha256"


def sums_of(folder: Path) -> str:
    """The sums of all files below ``folder``, as a tag holds them."""
    return json.dumps({name: sha256_of(path) for name, path in files_below(folder).items()})


def damage(files: Mapping[str, Path], stored: str) -> str | None:
    """Which of ``files``, by their names when they were stored, is not as ``stored`` says, and how.

    None where all are as they were.
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
    """:func:`damage` of a folder that holds all files that were stored."""
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
    """Every file below ``folder`` by its name there."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

"""The manifest: the photos, their classes and folds. Its fingerprint identifies the data.

``manifest.parquet`` holds one row per photo, ``classes.json`` the merged classes. Paths are
relative, so a manifest is the same on every machine.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from carvision.contracts import ClassMap
from carvision.data.names import path_on_disk, portable_path
from carvision.errors import DataError
from carvision.files import read_json, replacing, write_json

_TABLE = "manifest.parquet"
_CLASSES = "classes.json"
#: What :func:`write_manifest` writes.
MANIFEST_FILES = (_TABLE, _CLASSES)

COLUMNS = [
    "image_id",
    "path",
    "label",
    "class_index",
    "format",
    "mode",
    "orientation",
    "width",
    "height",
    "content_hash",
    "perceptual_hash",
    "group",
    "fold",
    "excluded",
]

#: Columns that follow from the content hash, and may change with the version of a library.
_DERIVED = ["path", "format", "mode", "orientation", "width", "height", "perceptual_hash"]

#: Paths that lead out of the data's folder, or are none: absolute paths, ``..``, NUL. On Windows
#: also drives and backslashes, which are characters of names elsewhere.
_OUTSIDE = re.compile(
    r"\A\Z|\A/|(?:\A|/)\.\.(?:/|\Z)|\x00"
    + (r"|\A\\|(?:\A|[/\\])\.\.(?:[/\\]|\Z)|:" if os.name == "nt" else "")
)


@dataclass(frozen=True)
class Manifest:
    """One row per photo, sorted by ``image_id``.

    ``fold`` counts from 1. It is 0 for photos that are never validated on: excluded photos, and
    photos with a copy under another label.
    """

    frame: pd.DataFrame
    classes: ClassMap

    @property
    def usable(self) -> pd.DataFrame:
        """The rows that are not excluded."""
        return self.frame[self.frame["excluded"] == ""]

    @property
    def conflicts(self) -> pd.DataFrame:
        """Usable photos with a copy under another label: trained on, but never validated on."""
        return self.usable[self.usable["fold"] == 0]

    @property
    def folds(self) -> int:
        """The number of folds."""
        return int(self.frame["fold"].max())

    @property
    def fingerprint(self) -> str:
        """Identifies the data, whatever the order of rows, the machine and the absolute path."""
        digest = hashlib.sha256(repr(self.classes).encode())
        content = self.frame.drop(columns=_DERIVED, errors="ignore").sort_values("image_id")
        # Not the reason: it quotes Pillow, whose messages change with its version.
        content["excluded"] = content["excluded"] != ""
        for row in content.itertuples(index=False, name=None):
            digest.update("\0".join(map(str, row)).encode() + b"\n")
        return digest.hexdigest()[:16]

    def split(self, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the training rows and the validation rows of ``fold``."""
        rows = self.usable
        return rows[rows["fold"] != fold], rows[rows["fold"] == fold]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.parquet`` and ``classes.json`` into ``folder``."""
    with replacing(folder / _TABLE) as temporary:
        portable = manifest.frame["path"].map(portable_path)
        manifest.frame.assign(path=portable).to_parquet(temporary, index=False)
    write_json(folder / _CLASSES, manifest.classes.to_json())


def read_manifest(folder: Path) -> Manifest:
    """Read what :func:`write_manifest` wrote.

    Raises:
        DataError: a file is missing or damaged, or a path leaves the data's folder.
    """
    try:
        frame = pd.read_parquet(folder / _TABLE)
        classes = ClassMap.from_json(read_json(folder / _CLASSES))
        # Manifests of earlier versions lack these columns.
        if "orientation" not in frame:
            frame = frame.assign(format="", mode="", orientation=1)
        frame = frame[COLUMNS].assign(path=paths_on_disk(frame["path"]))
        _refuse_strangers(frame, classes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"the manifest in {folder} cannot be read: {error}") from error
    return Manifest(frame, classes)


def paths_on_disk(portable: pd.Series) -> pd.Series:
    """Decode portable paths; as objects, since pandas' strings refuse names that are not UTF-8."""
    return pd.Series([path_on_disk(path) for path in portable], portable.index, dtype=object)


def _refuse_strangers(frame: pd.DataFrame, classes: ClassMap) -> None:
    """Refuse rows that no manifest can hold: anybody may write to a store.

    Raises:
        ValueError: a path leaves the data's folder, or a class or fold does not exist.
    """
    for path in frame["path"]:
        if _OUTSIDE.search(path):
            raise ValueError(f"the path {path[:100]!r} lies outside of the data's folder")
    if not frame["class_index"].between(0, len(classes.names) - 1).all():
        raise ValueError(f"a class_index is not below {len(classes.names)}, the number of classes")
    if (frame["fold"] < 0).any():
        raise ValueError("a fold is below zero")

"""The manifest: which photos there are, of which class, in which fold. It names the data.

``manifest.parquet`` holds one row a photo, ``classes.json`` the merged classes. Paths in it are
relative, so it is the same on every machine.
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

#: What the content hash pins already, but a library's next version may compute otherwise.
_DERIVED = ["path", "format", "mode", "orientation", "width", "height", "perceptual_hash"]

#: What leads out of the data's folder, or is no path: absolute ones, ``..``, NUL, and on Windows
#: drives and the other separator, which elsewhere may stand in a name.
_OUTSIDE = re.compile(
    r"\A\Z|\A/|(?:\A|/)\.\.(?:/|\Z)|\x00"
    + (r"|\A\\|(?:\A|[/\\])\.\.(?:[/\\]|\Z)|:" if os.name == "nt" else "")
)


@dataclass(frozen=True)
class Manifest:
    """One row a photo, sorted by ``image_id``.

    ``fold`` counts from 1. It is 0 where a photo is never validated on: excluded ones, and those
    whose copy stands under another label.
    """

    frame: pd.DataFrame
    classes: ClassMap

    @property
    def usable(self) -> pd.DataFrame:
        """The rows that are not excluded."""
        return self.frame[self.frame["excluded"] == ""]

    @property
    def conflicts(self) -> pd.DataFrame:
        """Usable photos that have a copy under another label; trained on, never validated on."""
        return self.usable[self.usable["fold"] == 0]

    @property
    def folds(self) -> int:
        """The number of folds."""
        return int(self.frame["fold"].max())

    @property
    def fingerprint(self) -> str:
        """Names the data: independent of order, machine and absolute path."""
        digest = hashlib.sha256(repr(self.classes).encode())
        content = self.frame.drop(columns=_DERIVED, errors="ignore").sort_values("image_id")
        # The reason quotes Pillow, whose words differ from version to version.
        content["excluded"] = content["excluded"] != ""
        for row in content.itertuples(index=False, name=None):
            digest.update("\0".join(map(str, row)).encode() + b"\n")
        return digest.hexdigest()[:16]

    def split(self, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The training and the validation rows of ``fold``."""
        rows = self.usable
        return rows[rows["fold"] != fold], rows[rows["fold"] == fold]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.parquet`` and ``classes.json`` into ``folder``."""
    with replacing(folder / _TABLE) as temporary:
        portable = manifest.frame["path"].map(portable_path)
        manifest.frame.assign(path=portable).to_parquet(temporary, index=False)
    write_json(folder / _CLASSES, manifest.classes.to_json())


def read_manifest(folder: Path) -> Manifest:
    """The inverse of :func:`write_manifest`.

    Raises:
        DataError: a file is missing or damaged, or names what is no photo below the data's root.
    """
    try:
        frame = pd.read_parquet(folder / _TABLE)
        classes = ClassMap.from_json(read_json(folder / _CLASSES))
        # Manifests of earlier versions say nothing of these.
        if "orientation" not in frame:
            frame = frame.assign(format="", mode="", orientation=1)
        frame = frame[COLUMNS].assign(path=paths_on_disk(frame["path"]))
        _refuse_strangers(frame, classes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"the manifest in {folder} cannot be read: {error}") from error
    return Manifest(frame, classes)


def paths_on_disk(portable: pd.Series) -> pd.Series:
    """As plain objects: pandas' own text refuses names that are not UTF-8."""
    return pd.Series([path_on_disk(path) for path in portable], portable.index, dtype=object)


def _refuse_strangers(frame: pd.DataFrame, classes: ClassMap) -> None:
    """Refuse what no manifest of ours holds: it is read from a store, and its paths are opened.

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

"""Class names, and the folders that count as one class.

Training, predictions and models use merged classes; only the submission expands them to the
template's columns. A merged class has the first name of its group.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from carvision.errors import DataError


def nfc(name: str) -> str:
    """Normalise a name to Unicode NFC: macOS returns Korean names decomposed."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class ClassMap:
    """Merged class names in index order, each with its folders (and columns)."""

    names: tuple[str, ...]
    folders: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, labels: Iterable[str], same_classes: Sequence[Sequence[str]] = ()) -> Self:
        """Merge the classes of ``labels`` (folder names), and sort them by merged name.

        A folder of a group that holds no photo still has its column in the submission.

        Raises:
            DataError: no folder of a group holds photos.
        """
        present = {nfc(label) for label in labels}
        merged: dict[str, tuple[str, ...]] = {}
        for group in same_classes:
            names = tuple(nfc(name) for name in group)
            if not present.intersection(names):
                raise DataError(f"data.same_classes: no photo is of any of the classes {names}")
            merged[names[0]] = names
            present.difference_update(names)
        merged.update({name: (name,) for name in present})
        ordered = sorted(merged)
        return cls(tuple(ordered), tuple(merged[name] for name in ordered))

    def index_by_folder(self) -> dict[str, int]:
        """Return the class index of every folder name."""
        return {folder: i for i, group in enumerate(self.folders) for folder in group}

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {"names": list(self.names), "folders": [list(group) for group in self.folders]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` returned.

        Raises:
            ValueError: it is something else.
        """
        names, folders = value["names"], value["folders"]
        if not isinstance(names, list) or not isinstance(folders, list):
            raise ValueError("the classes are no lists of names")
        if not all(isinstance(group, list) for group in folders):
            raise ValueError("the folders of a class are no list")
        return cls(*checked_classes(names, folders))


def checked_classes(
    names: Sequence[str], folders: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Check stored class names and the folders of each.

    Raises:
        ValueError: there is no class, a name is empty or occurs twice, or the lengths differ.
    """
    if not names or len(names) != len(folders):
        raise ValueError(f"{len(names)} class names and folders of {len(folders)} classes")
    for what, every in {"class": list(names), "folder": [f for g in folders for f in g]}.items():
        wrong = [name for name in every if not isinstance(name, str) or not name]
        if wrong:
            raise ValueError(f"{str(wrong[0])[:100]!r} is no name of a {what}")
        if len(set(every)) < len(every):
            raise ValueError(f"the name of a {what} occurs twice")
    if not all(folders):
        raise ValueError("a class has no folder")
    return tuple(names), tuple(tuple(group) for group in folders)

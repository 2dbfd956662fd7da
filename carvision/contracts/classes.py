"""Class names, and which folders count as one class.

Training, predictions and models speak merged classes; only the submission expands them to the
template's columns. A merged class takes the first name of its group.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from carvision.errors import DataError


def nfc(name: str) -> str:
    """``name`` in Unicode NFC: macOS hands out Korean names decomposed."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class ClassMap:
    """Merged class names in index order, each with the folders (and columns) that it stands for."""

    names: tuple[str, ...]
    folders: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, labels: Iterable[str], same_classes: Sequence[Sequence[str]] = ()) -> Self:
        """The classes of ``labels`` (folder names) after merging; sorted by merged name.

        A group's folders that hold no photo keep their column in the submission.

        Raises:
            DataError: a group names no folder at all that holds photos.
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
        """The class index of every folder name."""
        return {folder: i for i, group in enumerate(self.folders) for folder in group}

    def to_json(self) -> dict[str, Any]:
        """As plain values, for a JSON file."""
        return {"names": list(self.names), "folders": [list(group) for group in self.folders]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        return cls(tuple(value["names"]), tuple(tuple(group) for group in value["folders"]))

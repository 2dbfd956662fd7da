"""The files and folders at the top of a folder of photos."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from carvision.data.folder.listing import Folder, entries_of, has_photo, is_folder
from carvision.data.folder.splits import plain, split_of
from carvision.data.names import printable
from carvision.errors import DataError


@dataclass(frozen=True)
class TopLevel:
    """The entries of the folder ``root``."""

    root: Path

    def folders(self) -> list[str]:
        """Return the names of the root's folders without the hidden ones."""
        entries = entries_in(self.root)
        return sorted(e.name for e in entries if not e.name.startswith(".") and is_folder(e))

    def has_photo(self, *names: str) -> bool:
        """Whether there is a photo in the folder ``names[0]/names[1]/…`` or below."""
        folder = Folder.at(self.root)
        for name in names:
            folder = folder.child(name)
        return has_photo(folder)

    def may_hold_photos(self, name: str) -> bool:
        """Whether a folder holds a photo, or cannot be read."""
        return self.has_photo(name) or not os.access(self.root / name, os.R_OK | os.X_OK)

    def split_folders(self, split: str) -> list[str]:
        """Return the folders named like ``split``; one without photos must have exactly that name.

        A folder that two names lead to counts once.
        """
        by_place = {
            os.path.realpath(self.root / name): name
            for name in self.folders()
            if split_of(name) == split and (name == split or self.may_hold_photos(name))
        }
        return sorted(by_place.values())

    def file(self, name: str) -> Path | None:
        """Find the file ``name``, or a single one that differs in case, blanks, ``_`` or ``-``.

        Folders are not considered, since a class may have that name.

        Raises:
            DataError: several files are similar, or the file is a pipe, a device or a dead link.
        """
        names = [entry.name for entry in entries_in(self.root) if not is_folder(entry)]
        similar = [name] if name in names else [n for n in names if plain(n) == plain(name)]
        if len(similar) > 1:
            raise DataError(
                f"{printable(self.root)} holds {quoted_names(similar)}, and each may be {name}: "
                "rename or remove all but one"
            )
        if not similar:
            return None
        found = self.root / similar[0]
        if not found.is_file():  # without it, the submission would be another one
            what = "is a pipe or a device" if found.exists() else "leads to nothing"
            raise DataError(
                f"{printable(found)} {what} where a file is expected: put {name} there, or remove "
                "it"
            )
        return found


def entries_in(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder.

    Raises:
        DataError: the folder cannot be read.
    """
    return entries_of(Folder(str(folder), "", "", frozenset()))


def quoted_names(names: Sequence[str]) -> str:
    """Quote the names of files or folders for a message."""
    return " and ".join(repr(printable(name)) for name in names)

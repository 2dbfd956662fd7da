"""List the photos below a folder without opening any, and count what is passed over.

Links are followed. A linked folder is passed over where it contains the link, or where its photos
are listed already, so that no link leads into a circle.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carvision.data.folder.findings import Finding, Findings
from carvision.data.names import is_utf8, printable, text_of
from carvision.errors import DataError

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jfif"}
)
#: Names that file managers, NAS systems and programs use beside photos, also for previews.
_SYSTEM = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "@recycle",
        "$recycle.bin",
        "lost+found",
        "system volume information",
        "thumbs.db",
        "desktop.ini",
        ".ds_store",
        ".git",
        ".ipynb_checkpoints",
        ".cache",
    }
)

#: Device and inode, which identify a folder whatever path leads to it.
_Identity = tuple[int, int]


@dataclass(frozen=True)
class Photo:
    """A file with a photo's suffix. ``path`` is relative to the root, as spelled on the disk."""

    image_id: str
    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class Folder:
    """A folder of the data: its path below the root, as spelled on the disk and as text.

    ``above`` holds the folders that it lies in.
    """

    root: str
    path: str
    text: str
    above: frozenset[_Identity]

    @classmethod
    def at(cls, root: Path) -> "Folder":
        """Return the data's folder itself."""
        above = frozenset(_identity(parent) for parent in root.resolve().parents)
        return cls(str(root), "", "", above)

    @property
    def full(self) -> str:
        """The absolute path."""
        return _joined(self.root, self.path) if self.path else self.root

    def child(self, name: str, identity: _Identity | None = None) -> "Folder":
        """Return the subfolder ``name``; ``identity`` is this folder's own, where it is known."""
        above = self.above | {identity or _identity(Path(self.full))}
        return Folder(self.root, _joined(self.path, name), self.text_of(name), above)

    def text_of(self, name: str) -> str:
        """Return the ``image_id`` of a file in it; bytes that cannot be decoded are escaped."""
        return _joined(self.text, text_of(name) or printable(name))


def entries_of(folder: Folder) -> list[os.DirEntry[str]]:
    """Return the entries of a folder.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        return list(os.scandir(folder.full))
    except OSError as error:
        raise DataError(
            f"the folder {printable(folder.full)} cannot be read: {error.strerror}"
        ) from error


def photos_below(folder: Folder, findings: Findings) -> Iterator[Photo]:
    """Yield the photos in ``folder`` and below; those in linked folders come last."""
    for parent, entry in _photo_entries(folder, findings):
        path = _joined(parent.path, entry.name)
        text = parent.text_of(entry.name)
        if not is_utf8(entry.name):
            findings.add(Finding.RECODED, parent.text)
        try:
            status = entry.stat()
        except OSError:  # a dead link, or removed by now: the scan reports it
            yield Photo(text, path, 0, 0)
            continue
        yield Photo(text, path, status.st_size, status.st_mtime_ns)


def count_photos(folder: Folder, findings: Findings) -> int:
    """Count the photos in ``folder`` and below; folders that cannot be read become findings."""
    own = Findings()
    count = sum(1 for _ in _photo_entries(folder, own))
    for name in own.names(Finding.UNREADABLE):
        findings.add(Finding.UNREADABLE, name)
    return count


def has_photo(folder: Folder) -> bool:
    """Whether there is any photo in ``folder`` or below."""
    return next(_photo_entries(folder, Findings()), None) is not None


def listing_digest(photos: list[Photo]) -> str:
    """Digest the photos' names, sizes and times: equal as long as no file was touched."""
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(f"{photo.image_id}\0{photo.size}\0{photo.modified}\n".encode())
    return digest.hexdigest()[:16]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether ``entry`` is a folder, or a link to one; False where a link cannot be followed."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_photo(name: str) -> bool:
    """Whether ``name`` has a photo's suffix, and is not hidden, as macOS's ``._name.jpg`` is."""
    return not name.startswith(".") and _suffix(name) in PHOTO_SUFFIXES


def pass_over(folder: Folder, entry: os.DirEntry[str], findings: Findings) -> bool:
    """Count ``entry`` and return True, unless it is a folder or a photo that is to be used."""
    name = entry.name
    if name.lower() in _SYSTEM or name.startswith("._"):
        findings.add(Finding.SYSTEM, "._*" if name.startswith("._") else name)
    elif name.startswith("."):
        _pass_over_hidden(folder, entry, findings)
    elif is_folder(entry) or is_photo(name):
        return False
    elif _is_dead(entry):
        findings.add(Finding.DEAD_LINK, folder.text_of(name))
    else:
        findings.add(Finding.SUFFIX, _suffix(name) or name)
    return True


def _pass_over_hidden(folder: Folder, entry: os.DirEntry[str], findings: Findings) -> None:
    if is_folder(entry):
        photos = count_photos(folder.child(entry.name), findings)
    else:
        photos = int(is_photo(entry.name.lstrip(".")))
    if photos:
        findings.add(Finding.HIDDEN, folder.text_of(entry.name), photos)
    else:
        findings.add(Finding.SYSTEM, entry.name)


def _photo_entries(start: Folder, findings: Findings) -> Iterator[tuple[Folder, os.DirEntry[str]]]:
    pending, linked = [start], deque[Folder]()
    listed: set[_Identity] = set()
    while pending or linked:
        folder = pending.pop() if pending else linked.popleft()
        try:
            identity = _identity(Path(folder.full))
            entries = list(os.scandir(folder.full))
        except OSError:
            findings.add(Finding.UNREADABLE, folder.text)
            continue
        if identity in folder.above or identity in listed:
            circle = identity in folder.above
            findings.add(Finding.LOOP if circle else Finding.AGAIN, folder.text)
            continue
        listed.add(identity)
        for entry in entries:
            if is_photo(entry.name) and not is_folder(entry):
                yield folder, entry
            elif not pass_over(folder, entry, findings):
                child = folder.child(entry.name, identity)
                (linked if entry.is_symlink() else pending).append(child)


def _identity(folder: Path) -> _Identity:
    status = folder.stat()
    return (status.st_dev, status.st_ino)


def _is_dead(entry: os.DirEntry[str]) -> bool:
    try:
        entry.stat()
    except OSError:
        return True
    return False


def _suffix(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return (dot + ending).lower() if stem else ""


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name

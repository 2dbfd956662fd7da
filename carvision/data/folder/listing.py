"""The photos below a folder, found without opening one; what is passed over is counted.

Links are followed. A linked folder that lies above itself, or whose photos were listed before, is
passed over, so that no link leads round in a circle.
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
#: What file managers, NAS systems and programs leave beside photos, previews of them included.
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

#: Device and inode: one folder, whatever path leads to it.
_Identity = tuple[int, int]


@dataclass(frozen=True)
class Photo:
    """A file that looks like a photo. ``path`` is relative to the root, as the disk spells it."""

    image_id: str
    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class Folder:
    """A folder of the data: its path relative to the root, as the disk spells it and as text.

    ``above`` are the folders that lead to it.
    """

    root: str
    path: str
    text: str
    above: frozenset[_Identity]

    @classmethod
    def at(cls, root: Path) -> "Folder":
        """The data's folder itself."""
        above = frozenset(_identity(parent) for parent in root.resolve().parents)
        return cls(str(root), "", "", above)

    @property
    def full(self) -> str:
        """The absolute path."""
        return _joined(self.root, self.path) if self.path else self.root

    def child(self, name: str, identity: _Identity | None = None) -> "Folder":
        """The folder ``name`` in it; ``identity`` is this folder's own, where it is known."""
        above = self.above | {identity or _identity(Path(self.full))}
        return Folder(self.root, _joined(self.path, name), self.text_of(name), above)

    def text_of(self, name: str) -> str:
        """The ``image_id`` of a file in it; bytes that are no text we know are escaped."""
        return _joined(self.text, text_of(name) or printable(name))


def entries_of(folder: Folder) -> list[os.DirEntry[str]]:
    """What lies in a folder that the data cannot do without.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return list(os.scandir(folder.full))
    except OSError as error:
        raise DataError(
            f"the folder {printable(folder.full)} cannot be read: {error.strerror}"
        ) from error


def photos_below(folder: Folder, findings: Findings) -> Iterator[Photo]:
    """Photos in ``folder`` and in all folders below it; real ones first, then linked ones."""
    for parent, entry in _photo_entries(folder, findings):
        path = _joined(parent.path, entry.name)
        text = parent.text_of(entry.name)
        if not is_utf8(entry.name):
            findings.add(Finding.RECODED, parent.text)
        try:
            status = entry.stat()
        except OSError:  # a link to nowhere, or gone by now: the scan will say so
            yield Photo(text, path, 0, 0)
            continue
        yield Photo(text, path, status.st_size, status.st_mtime_ns)


def count_photos(folder: Folder, findings: Findings) -> int:
    """How many photos there are in ``folder`` and below; folders that cannot be read are found."""
    own = Findings()
    count = sum(1 for _ in _photo_entries(folder, own))
    for name in own.names(Finding.UNREADABLE):
        findings.add(Finding.UNREADABLE, name)
    return count


def has_photo(folder: Folder) -> bool:
    """Whether there is any photo in ``folder`` or below."""
    return next(_photo_entries(folder, Findings()), None) is not None


def listing_digest(photos: list[Photo]) -> str:
    """Digest of names, sizes and times: equal when no file was touched, without reading any."""
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(f"{photo.image_id}\0{photo.size}\0{photo.modified}\n".encode())
    return digest.hexdigest()[:16]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; False where a link cannot be followed."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_photo(name: str) -> bool:
    """Whether a file's name is that of a photo; macOS writes ``._name.jpg`` beside a file."""
    return not name.startswith(".") and _suffix(name) in PHOTO_SUFFIXES


def pass_over(folder: Folder, entry: os.DirEntry[str], findings: Findings) -> bool:
    """Count ``entry`` where it is hidden, or no photo's business; False where it is neither."""
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

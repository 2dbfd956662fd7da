"""Where a folder of photos keeps what: the competition's layout, or plain class folders.

``train/<class>/*``, ``test/``, ``test.csv``, ``sample_submission.csv`` and, where known,
``answers.csv``. Without a folder ``train``, the folder's own subfolders are the classes.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carvision.contracts import nfc
from carvision.errors import DataError

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jfif"}
)


@dataclass(frozen=True)
class Photo:
    """A file that looks like a photo. ``path`` is relative to the root, as the disk spells it."""

    image_id: str
    path: str
    size: int
    modified: int


@dataclass(frozen=True)
class Layout:
    """A folder of photos. Its properties are absolute paths, None where there is no such file."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> "Layout":
        """The layout of ``folder``.

        Raises:
            DataError: it does not exist, or is not a folder.
        """
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise DataError(f"data={folder} {what}; give a folder of photos, a zip, or data=sample")
        if not (folder / "train").is_dir():
            inner = next((path.parent for path in sorted(folder.glob("*/train/"))), None)
            others = [path for path in folder.iterdir() if path.is_dir() and path != inner]
            if inner is not None and not any(any(find_photos(path, folder)) for path in others):
                raise DataError(
                    f"data={folder} holds no folder train, but {inner.name}/train is there: "
                    f"did you mean data={inner}?"
                )
        return cls(folder.resolve())

    @property
    def train(self) -> Path:
        """The folder whose subfolders are the classes."""
        folder = self.root / "train"
        return folder if folder.is_dir() else self.root

    @property
    def test(self) -> Path | None:
        """``test.csv``, or else the folder ``test``."""
        return self._existing("test.csv") or self._existing("test")

    @property
    def template(self) -> Path | None:
        """The submission's template."""
        return self._existing("sample_submission.csv")

    @property
    def answers(self) -> Path | None:
        """The test photos' true classes (``ID,label``), where they are known."""
        return self._existing("answers.csv")

    def training_photos(self) -> list[Photo]:
        """Every photo in a class folder, by ``image_id``."""
        photos = [
            photo for folder in self._class_folders() for photo in find_photos(folder, self.root)
        ]
        return sorted(photos, key=lambda photo: photo.image_id)

    def other_files(self) -> dict[str, int]:
        """How many files in the class folders are no photos to us, by their suffix."""
        names = [
            Path(name)
            for folder in self._class_folders()
            for _, _, files in os.walk(folder)
            for name in files
            if not name.startswith(".")
        ]
        suffixes = Counter(name.suffix.lower() or name.name for name in names)
        return {key: n for key, n in suffixes.most_common() if key not in PHOTO_SUFFIXES}

    def empty_classes(self) -> list[str]:
        """Class folders without a photo."""
        return sorted(
            folder.name
            for folder in self._class_folders()
            if next(find_photos(folder, self.root), None) is None
        )

    def _class_folders(self) -> list[Path]:
        entries = (entry for entry in os.scandir(self.train) if entry.is_dir())
        classes = [Path(entry) for entry in entries if not entry.name.startswith(".")]
        if self.train == self.root:
            classes = [folder for folder in classes if folder.name != "test"]
        return classes

    def label_of(self, photo: Photo) -> str:
        """The class folder that a photo is in, in NFC."""
        return nfc((self.root / photo.path).relative_to(self.train).parts[0])

    def _existing(self, name: str) -> Path | None:
        path = self.root / name
        return path if path.exists() else None


def find_photos(folder: Path, root: Path) -> Iterator[Photo]:
    """Photos below ``folder``, hidden ones left out (macOS writes ``._name.jpg`` beside a file)."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.startswith(".") or Path(name).suffix.lower() not in PHOTO_SUFFIXES:
                continue
            full = Path(parent, name)
            relative = full.relative_to(root).as_posix()
            try:
                status = full.stat()
            except OSError:  # a link to nowhere, or gone by now: the scan will say so
                yield Photo(nfc(relative), relative, 0, 0)
                continue
            yield Photo(nfc(relative), relative, status.st_size, status.st_mtime_ns)


def listing_digest(photos: list[Photo]) -> str:
    """Digest of names, sizes and times: equal when no file was touched, without reading any."""
    digest = hashlib.sha256()
    for photo in photos:
        digest.update(f"{photo.image_id}\0{photo.size}\0{photo.modified}\n".encode())
    return digest.hexdigest()[:16]

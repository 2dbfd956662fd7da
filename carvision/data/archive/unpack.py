"""Unpack a zip of photos, which may be damaged or malicious.

The folder's name contains a digest of the archive's content, so an archive that was touched, moved
or renamed is not unpacked again.
"""

import logging
import os
import re
import shlex
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO

from carvision.config.words import first_few
from carvision.data.archive.damage import DAMAGE
from carvision.data.archive.entries import Entry, checked_entries
from carvision.data.archive.kinds import why_no_zip
from carvision.errors import DataError
from carvision.files import one_at_a_time, replacing_folder

log = logging.getLogger(__name__)

#: In bytes. The competition's archive is below 10 GB; a larger total is a mistake or a bomb.
LARGEST_TOTAL = 200 * 2**30
_CHUNK = 2**20
#: Characters of the archive's name that the folder's name begins with.
_STEM = 40
_DIGITS = 12
_INTERRUPTED = re.compile(r"\..*-[0-9a-f]{12}\.\w{8}")
_INNER = frozenset({".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".egg", ".alz"})


@dataclass(frozen=True)
class Unpacking:
    """The files to unpack from an archive, and their folder."""

    archive: Path
    folder: Path
    entries: Sequence[Entry]

    @classmethod
    def of(cls, archive: Path, below: Path) -> "Unpacking":
        """Read and check an archive's table of contents, unless it was unpacked before.

        Raises:
            DataError: the archive is no zip, is empty, unpacks to more than ``LARGEST_TOTAL``
                bytes, or has an entry that
                :func:`~carvision.data.archive.entries.checked_entries` refuses.
        """
        with _opened(archive) as content:
            digits = _digest(content)
            if same := sorted(below.glob(f"*-{digits}")):
                return cls(archive, same[0], ())
            entries = checked_entries(archive, content)
        if not entries:
            raise DataError(f"{archive} holds no file")
        if sum(entry.info.file_size for entry in entries) > LARGEST_TOTAL:
            raise DataError(f"{archive} unpacks to more than {LARGEST_TOTAL / 2**30:.0f} GiB")
        earlier = _earlier_folder(archive, below)
        if earlier.is_dir() and all((earlier / folder).is_dir() for folder in _folders(entries)):
            return cls(archive, earlier, ())
        return cls(archive, below / f"{_stem(archive)}-{digits}", entries)

    @property
    def size(self) -> int:
        """The bytes to write; 0 where the archive was unpacked before."""
        return sum(entry.info.file_size for entry in self.entries)

    def run(self, progress: Callable[[int], None] = lambda done: None) -> Path:
        """Unpack, and return the folder of the content.

        ``progress`` is called with the number of bytes just written.

        Raises:
            DataError: the disk has too little room, or an entry is damaged.
        """
        below = self.folder.parent
        if self.entries:
            with _alone_in(below):
                if not self.folder.exists():
                    _clear_interrupted(below)
                    self._write(progress)
        return _without_wrapper(self.folder)

    def _write(self, progress: Callable[[int], None]) -> None:
        below = self.folder.parent
        free = shutil.disk_usage(below).free
        if self.size > free:
            raise DataError(
                f"{self.archive} unpacks to {self.size / 2**30:.1f} GiB, more than the "
                f"{free / 2**30:.1f} GiB that are free below {below}"
            )
        with _opened(self.archive) as content, replacing_folder(self.folder) as temporary:
            for entry in self.entries:
                _write(self.archive, content, entry, temporary, progress)
        _warn_of_inner_archives(self.archive, self.entries)
        _warn_of_superseded(self.archive, self.folder)


def _earlier_folder(archive: Path, below: Path) -> Path:
    """Return the folder that earlier versions used, named by the archive's path, size and time."""
    status = archive.stat()
    key = f"{archive.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    return below / f"{archive.stem}-{sha256(os.fsencode(key)).hexdigest()[:_DIGITS]}"


def _folders(entries: Sequence[Entry]) -> set[PurePosixPath]:
    """Return an archive's folders, without hidden ones, which earlier versions left out."""
    folders = {entry.path.parent for entry in entries}
    return {path for path in folders if not any(part.startswith(".") for part in path.parts)}


def _digest(content: zipfile.ZipFile) -> str:
    """Identify an archive's content by its table of contents, without reading gigabytes."""
    digest = sha256()
    for info in content.infolist():
        line = (info.orig_filename, info.CRC, info.file_size, info.date_time)
        digest.update(repr(line).encode())
    return digest.hexdigest()[:_DIGITS]


def _stem(archive: Path) -> str:
    name = "".join(sign if sign.isprintable() else "_" for sign in archive.stem)
    return name.lstrip(".")[:_STEM]


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        content = zipfile.ZipFile(archive)
    except DAMAGE as error:
        try:
            reason = why_no_zip(archive)
        except OSError as unreadable:
            reason = unreadable.strerror or str(unreadable)
        raise DataError(f"{archive} cannot be read as a zip: {reason} ({error})") from error
    with content:
        yield content


def _write(
    archive: Path,
    content: zipfile.ZipFile,
    entry: Entry,
    folder: Path,
    progress: Callable[[int], None],
) -> None:
    target = folder / entry.path
    with _damage_named(archive, entry):
        target.parent.mkdir(parents=True, exist_ok=True)
        source, written = content.open(entry.info), target.open("xb")
    with source, written:
        while chunk := _copied(archive, entry, source, written):
            progress(chunk)
    size = target.stat().st_size
    # zipfile stops at the size in the table of contents, and accepts less without an error.
    if size != entry.info.file_size:
        raise DataError(
            f"{archive}: {str(entry.path)!r} unpacks to {size:,} bytes instead of "
            f"{entry.info.file_size:,}: download the archive again"
        )
    # The time in the archive, so that unpacking again gives the same listing.
    seconds = _modified(entry.info)
    os.utime(target, (seconds, seconds))


def _copied(archive: Path, entry: Entry, source: IO[bytes], written: IO[bytes]) -> int:
    with _damage_named(archive, entry):
        return written.write(source.read(_CHUNK))


@contextmanager
def _damage_named(archive: Path, entry: Entry) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{archive}: {str(entry.path)!r} cannot be unpacked: {reason}") from error


def _modified(info: zipfile.ZipInfo) -> float:
    try:
        return datetime(*info.date_time, tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


@contextmanager
def _alone_in(below: Path) -> Iterator[None]:
    lock = below / ".lock"
    with one_at_a_time(lock):
        try:
            yield
        finally:
            # Remove it while it is held: a process that waits for a removed lock makes a new one.
            with suppress(PermissionError):  # Windows keeps a file that is open
                lock.unlink(missing_ok=True)


def _clear_interrupted(below: Path) -> None:
    """Remove the files of killed processes; no other process unpacks while the lock is held."""
    for folder in below.iterdir():
        if _INTERRUPTED.fullmatch(folder.name):
            shutil.rmtree(folder)


def _warn_of_inner_archives(archive: Path, entries: Sequence[Entry]) -> None:
    inner = [str(entry.path) for entry in entries if entry.path.suffix.lower() in _INNER]
    if inner:
        log.warning(
            "%s holds archives, which are not unpacked: %s; unpack them by hand, give the folder",
            archive,
            first_few(inner),
        )


def _warn_of_superseded(archive: Path, folder: Path) -> None:
    """Name the folders of earlier archives with this name, which may take gigabytes."""
    pattern = re.compile(re.escape(_stem(archive)) + rf"-[0-9a-f]{{{_DIGITS}}}")
    for old in sorted(folder.parent.iterdir()):
        if old != folder and old.is_dir() and pattern.fullmatch(old.name):
            size = sum(path.stat().st_size for path in old.rglob("*") if path.is_file())
            log.warning(
                "an earlier archive called %s was unpacked to %s (%.1f GB); if you need it no "
                "more: rm -r %s",
                archive.name,
                old,
                size / 1e9,
                shlex.quote(str(old)),
            )


def _without_wrapper(folder: Path) -> Path:
    """Skip a single folder that wraps everything, as archives often have it."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name not in ("train", "test"):
        return inside[0]
    return folder

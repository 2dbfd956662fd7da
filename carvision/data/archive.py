"""Unpack a zip of photos, trusting nothing that is written in it."""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath

from carvision.contracts import nfc
from carvision.errors import DataError
from carvision.files import replacing_folder

#: The competition's archive is below 10 GB; what unpacks to more than this is a mistake or a bomb.
LARGEST_TOTAL = 200 * 2**30
#: No photo shrinks by more: a JPEG hardly shrinks at all.
LARGEST_RATIO = 200
_CHUNK = 2**20
_UTF8_FLAG = 0x800


@dataclass(frozen=True)
class _Entry:
    info: zipfile.ZipInfo
    path: PurePosixPath


def unpacked(
    archive: Path, below: Path, progress: Callable[[int], None] = lambda done: None
) -> Path:
    """The folder of ``archive``'s content; unpacked into ``below`` unless that was done before.

    ``progress`` gets the number of bytes just written; :func:`unpacked_size` tells the total.

    Raises:
        DataError: it is no zip, holds an entry that would leave the folder, a link or an encrypted
            file, two entries of one name, or more than ``LARGEST_TOTAL`` bytes.
    """
    folder = _folder_of(archive, below)
    if not folder.exists():
        with _opened(archive) as content:
            entries = list(_checked(archive, content))
            total = sum(entry.info.file_size for entry in entries)
            below.mkdir(parents=True, exist_ok=True)
            if total > shutil.disk_usage(below).free:
                raise DataError(f"{archive} unpacks to {total / 2**30:.1f} GiB, more than is free")
            with replacing_folder(folder) as temporary:
                for entry in entries:
                    _write(archive, content, entry, temporary, progress)
    return _without_wrapper(folder)


def unpacked_size(archive: Path, below: Path) -> int:
    """Bytes that :func:`unpacked` is going to write; 0 when it was done before.

    Raises:
        DataError: as :func:`unpacked`.
    """
    if _folder_of(archive, below).exists():
        return 0
    with _opened(archive) as content:
        return sum(entry.info.file_size for entry in _checked(archive, content))


def _folder_of(archive: Path, below: Path) -> Path:
    """Named by what tells one archive from the next without reading gigabytes."""
    status = archive.stat()
    key = f"{archive.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    return below / f"{archive.stem}-{sha256(key.encode()).hexdigest()[:12]}"


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{archive} cannot be read as a zip: {error}") from error


def _checked(archive: Path, content: zipfile.ZipFile) -> Iterator[_Entry]:
    """The files of an archive, each at a safe path; folders and macOS's extras are left out."""
    total = 0
    seen: set[PurePosixPath] = set()
    for info in content.infolist():
        name = _name(info)
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
            raise DataError(f"{archive}: the entry {name!r} would leave the target folder")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{archive}: the entry {name!r} is a link")
        if info.is_dir() or any(part == "__MACOSX" or part.startswith(".") for part in path.parts):
            continue
        if info.flag_bits & 1:
            raise DataError(f"{archive}: the entry {name!r} is encrypted")
        total += info.file_size
        if total > LARGEST_TOTAL:
            raise DataError(f"{archive} unpacks to more than {LARGEST_TOTAL / 2**30:.0f} GiB")
        if info.file_size > LARGEST_RATIO * max(info.compress_size, 1024):
            raise DataError(
                f"{archive}: the entry {name!r} grows from {info.compress_size:,} to "
                f"{info.file_size:,} bytes; no photo does"
            )
        if path in seen:
            raise DataError(f"{archive}: two entries are called {name!r}")
        seen.add(path)
        yield _Entry(info, path)


def _name(info: zipfile.ZipInfo) -> str:
    """The entry's name in NFC; Korean programs write cp949 without saying so."""
    name = info.orig_filename if "\0" in info.orig_filename else info.filename
    if not info.flag_bits & _UTF8_FLAG:
        raw = name.encode("cp437", errors="surrogateescape")
        for encoding in ("utf-8", "cp949"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return nfc(name.replace("\\", "/"))


def _write(
    archive: Path,
    content: zipfile.ZipFile,
    entry: _Entry,
    folder: Path,
    progress: Callable[[int], None],
) -> None:
    target = folder / entry.path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with content.open(entry.info) as source, target.open("xb") as written:
            while chunk := source.read(_CHUNK):
                written.write(chunk)
                progress(len(chunk))
    # zipfile says NotImplementedError of a compression that it does not know.
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise DataError(f"{archive}: {str(entry.path)!r} cannot be unpacked: {error}") from error
    # The time in the archive: a second unpacking lists the same.
    seconds = _modified(entry.info)
    os.utime(target, (seconds, seconds))


def _modified(info: zipfile.ZipInfo) -> float:
    try:
        return datetime(*info.date_time, tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _without_wrapper(folder: Path) -> Path:
    """Archives often wrap everything in one folder, which says nothing."""
    inside = list(folder.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name not in ("train", "test"):
        return inside[0]
    return folder

"""Check a zip's table of contents: names, kinds, sizes and places of its entries."""

import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from carvision.data.archive.entry_names import entry_names
from carvision.errors import DataError

#: Formats that are compressed themselves, so that a zip makes them hardly smaller.
_COMPRESSED_PHOTOS = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif"})
_LARGEST_RATIO = 200
#: Bytes; the ratio of a smaller entry has no meaning.
_SMALL = 1024
#: Tables and bitmaps may shrink by any ratio (a template of zeros: 1,000 times by deflate, 20,000
#: times by bzip2). An archive may unpack to this many bytes (100,000 rows of 2,000 classes, "0.0,"
#: each, are 0.8 GB) plus ``_LARGEST_RATIO`` times its own size.
_FREE_SIZE = 2**30
#: Folders; a layout has three levels, and Python's own functions fail beyond a thousand.
_DEEPEST = 50
#: Bytes that every file system allows for the name of a file or folder.
_LONGEST_NAME = 255
_LONGEST_PATH = 2_000
_FILE_HEADER = 30
_READ_HERE = frozenset(
    {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
)
#: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, section 4.4.5
_METHODS = {9: "Deflate64", 93: "Zstandard", 95: "xz", 98: "PPMd", 99: "AES encryption"}
_ZIP64_VOLUME = 0xFFFF
_UNIX = frozenset({3, 19})
_DOS_FOLDER = 0x10


@dataclass(frozen=True)
class Entry:
    """A file of an archive, and the path below the target folder that it is unpacked to."""

    info: zipfile.ZipInfo
    path: PurePosixPath


def checked_entries(archive: Path, content: zipfile.ZipFile) -> list[Entry]:
    """Return the files of an archive, each with a safe path of its own.

    Folders are left out, and so are files that macOS adds (``__MACOSX``, ``.DS_Store``, ``._*``).

    Raises:
        DataError: an entry leaves the target folder; is a link, a device, or encrypted; has a name
            that no file can have, or the name of another entry; is compressed by an unknown
            method; grows more than its kind can; or shares bytes with another entry.
    """
    infos = content.infolist()
    _refuse_shared_bytes(archive, infos)
    entries = []
    for info, name in zip(infos, entry_names(content), strict=True):
        path = _safe_path(archive, name)
        if not path.parts and info.file_size:
            raise DataError(f"{archive}: an entry of {info.file_size:,} bytes has no name")
        _refuse_special(archive, info, name)
        if _is_folder(info, name) or not path.parts or _is_macos_extra(path):
            continue
        _refuse_unreadable(archive, info, name)
        entries.append(Entry(info, path))
    _refuse_twins(archive, entries)
    _refuse_growth(archive, entries)
    return entries


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    """Return an entry's path; it has no parts where the name has none (``./``, or empty)."""
    path = PurePosixPath(name)
    parts = path.parts
    if not name.strip("/"):
        return PurePosixPath()
    if path.is_absolute() or ".." in parts or ":" in "".join(parts[:1]) or "\0" in name:
        raise DataError(f"{archive}: the entry {name[:200]!r} would leave the target folder")
    if len(parts) > _DEEPEST:
        raise DataError(
            f"{archive}: the entry {name[:100]!r}… lies {len(parts)} folders deep, and at most "
            f"{_DEEPEST} are unpacked"
        )
    size = len(name.encode())
    if size > _LONGEST_PATH or (
        size > _LONGEST_NAME and any(len(part.encode()) > _LONGEST_NAME for part in parts)
    ):
        raise DataError(
            f"{archive}: the entry {name[:100]!r}… has a name too long for a file (a part may "
            f"have {_LONGEST_NAME} bytes in UTF-8, the whole {_LONGEST_PATH:,}): rename it"
        )
    return path


def _refuse_special(archive: Path, info: zipfile.ZipInfo, name: str) -> None:
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        raise DataError(
            f"{archive}: the entry {name!r} is a link; pack the file that it leads to instead"
        )
    if info.create_system in _UNIX and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{archive}: the entry {name!r} is a device or a pipe, not a file")


def _is_folder(info: zipfile.ZipInfo, name: str) -> bool:
    marked = info.external_attr & _DOS_FOLDER or stat.S_ISDIR(info.external_attr >> 16)
    return name.endswith("/") or bool(marked and not info.file_size)


def _is_macos_extra(path: PurePosixPath) -> bool:
    return "__MACOSX" in path.parts or path.name == ".DS_Store" or path.name.startswith("._")


def _refuse_unreadable(archive: Path, info: zipfile.ZipInfo, name: str) -> None:
    by_hand = "unpack the archive by hand and give the folder"
    if info.flag_bits & 1:
        raise DataError(f"{archive}: the entry {name!r} is encrypted: {by_hand}")
    if info.volume not in (0, _ZIP64_VOLUME):
        raise DataError(f"{archive} is one part of an archive in several parts: {by_hand}")
    if info.compress_type not in _READ_HERE:
        kind = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise DataError(
            f"{archive}: the entry {name!r} is compressed by {kind}, which is not read here: "
            f"{by_hand}"
        )


def _refuse_growth(archive: Path, entries: Sequence[Entry]) -> None:
    """Refuse growth as of a zip bomb; :func:`_refuse_shared_bytes` makes the sizes reliable."""
    size = archive.stat().st_size
    photos, total = 0, 0
    for info, path in ((entry.info, entry.path) for entry in entries):
        total += info.file_size
        if path.suffix.lower() not in _COMPRESSED_PHOTOS:
            continue
        photos += info.file_size
        if info.file_size > _LARGEST_RATIO * max(info.compress_size, _SMALL):
            raise DataError(
                f"{archive}: the entry {str(path)!r} grows from {info.compress_size:,} to "
                f"{info.file_size:,} bytes; no photo does"
            )
    if photos > _LARGEST_RATIO * max(size, _SMALL) or total > _FREE_SIZE + _LARGEST_RATIO * size:
        raise DataError(
            f"{archive} has {size:,} bytes and would unpack to {total:,}; no archive of photos "
            f"grows more than {_LARGEST_RATIO} times"
        )


def _refuse_shared_bytes(archive: Path, infos: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse entries that overlap, by which small archives unpack to gigabytes.

    Without overlaps, the sum of all compressed sizes is at most the archive's size.
    """
    end, before = 0, ""
    size = archive.stat().st_size
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.filename[:100]
        if info.header_offset < 0 or info.header_offset + info.compress_size > size:
            raise DataError(
                f"{archive}: the entry {name!r} would lie outside of the archive, which is "
                "damaged: download it again"
            )
        if info.header_offset < end:
            raise DataError(
                f"{archive}: the entries {before!r} and {name!r} share bytes, as in a damaged or "
                "a malicious archive: download it again, from a source that you trust"
            )
        end, before = info.header_offset + _FILE_HEADER + info.compress_size, name


def _refuse_twins(archive: Path, entries: Sequence[Entry]) -> None:
    """Refuse two entries with one path, and a file that is also a folder of another entry."""
    paths: set[PurePosixPath] = set()
    for path in (entry.path for entry in entries):
        if path in paths:
            raise DataError(f"{archive}: two entries are called {str(path)!r}")
        paths.add(path)
    folders = {path.parent for path in paths}
    folders.update([above for folder in folders for above in folder.parents])
    for path in paths & folders:
        raise DataError(f"{archive}: {str(path)!r} is a file and a folder at once")

"""Decode the names of a zip's entries, most of which do not state their encoding.

An entry with the UTF-8 flag, or with Info-ZIP's Unicode path field (0x7075), states it. Others do
not: programs in Korea write cp949, elsewhere cp437 (the standard), cp850 or cp852. Their encoding
is chosen for all such names of an archive together:

1. UTF-8, if every name is valid UTF-8 (macOS sets no flag).
2. Else, if the archive has a ``sample_submission.csv`` or ``test.csv``: the encoding by which most
   names occur among their class columns and photo paths.
3. Else cp949, if it decodes every name and they look Korean. If not, names that are valid UTF-8 are
   UTF-8, and the others are in the first of cp437, cp850, cp852 and cp1252 that gives only Latin
   letters, or in cp437.
"""

import csv
import logging
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Final

from carvision.contracts import nfc
from carvision.data.archive.damage import DAMAGE
from carvision.data.text import decoded, looks_korean
from carvision.errors import DataError

log = logging.getLogger(__name__)

_UTF8_FLAG = 0x800
_UNICODE_PATH = 0x7075
_KOREAN: Final = "cp949"
_LATIN: Final = ("cp437", "cp850", "cp852", "cp1252")
_LISTS = ("sample_submission.csv", "test.csv")
#: Bytes of each list: enough for all columns, or for thousands of paths.
_LIST_BYTES = 2**20
_UNREADABLE: Final = (*DAMAGE, csv.Error, DataError)


def entry_names(content: zipfile.ZipFile) -> list[str]:
    """Return the names of ``content.infolist()`` in NFC, with ``/`` between folders."""
    infos = content.infolist()
    stated = [_stated(info) for info in infos]
    # zipfile reads names without the flag as cp437, in which every byte is a character.
    raws = [
        info.orig_filename.encode("cp437") if name is None else b""
        for info, name in zip(infos, stated, strict=True)
    ]
    unclear = sorted({raw for raw in raws if _text(raw, "ascii") is None})
    utf8 = _all_in("utf-8", unclear)
    if utf8 is None:
        listed = _listed(content)
        found = _decoded(unclear, listed)
        _warn_of_guess(found, listed)
    else:
        found = utf8
    texts = (
        found.get(raw, raw.decode("cp437")) if name is None else name
        for raw, name in zip(raws, stated, strict=True)
    )
    return [nfc(text.replace("\\", "/")) for text in texts]


def _warn_of_guess(found: Mapping[bytes, str], listed: set[str]) -> None:
    """Warn of names whose encoding neither the archive nor its lists determine."""
    guessed = sorted(_parts(found.values()) - listed)
    if guessed:
        log.warning(
            "%d names in the archive do not say their encoding and are read as %s …: if that is "
            "wrong, pack it again with names in UTF-8",
            len(guessed),
            ", ".join(guessed[:3]),
        )


def _stated(info: zipfile.ZipInfo) -> str | None:
    """Return the name of an entry that states its encoding, and None for others."""
    if info.flag_bits & _UTF8_FLAG:
        return info.orig_filename
    for kind, field in _extra_fields(info.extra):
        # The field's version, the CRC of the name that it belongs to, and the name in UTF-8.
        if kind == _UNICODE_PATH and field[:5] == b"\1" + _sum_of(info.orig_filename):
            return _text(field[5:], "utf-8")
    return None


def _sum_of(name: str) -> bytes:
    return struct.pack("<L", zlib.crc32(name.encode("cp437")))


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _decoded(raws: Sequence[bytes], listed: set[str]) -> dict[bytes, str]:
    """Decode the names by the second and third rule."""
    mixed = {raw: text for raw in raws if (text := _text(raw, "utf-8")) is not None}
    others = [raw for raw in raws if raw not in mixed]
    tried = [(_KOREAN, {}, raws), (_KOREAN, mixed, others)]
    tried += [(encoding, mixed, others) for encoding in _LATIN]
    readings = []
    for encoding, known, rest in tried:
        found = _all_in(encoding, rest)
        if found is not None:
            likely = _looks_right("".join(found.values()), encoding)
            rank = 0 if likely else 2 if encoding == _KOREAN else 1
            readings.append((rank, known | found))
    # A stable sort by the third rule; among readings that are equal by the second, max takes the
    # first.
    readings.sort(key=lambda reading: reading[0])
    return max(
        (reading[1] for reading in readings),
        key=lambda found: len(listed.intersection(_parts(found.values()))),
    )


def _looks_right(text: str, encoding: str) -> bool:
    if encoding == _KOREAN:
        return looks_korean(text)
    foreign = (character for character in set(text) if not character.isascii())
    return all(unicodedata.name(character, "").startswith("LATIN") for character in foreign)


def _listed(content: zipfile.ZipFile) -> set[str]:
    """Collect the column names and parts of paths in the archive's own lists."""
    found: set[str] = set()
    for info in content.infolist():
        if info.filename.replace("\\", "/").rpartition("/")[2].lower() not in _LISTS:
            continue
        try:
            with content.open(info) as file:
                head = file.read(_LIST_BYTES)
            # Up to a line's end, so that no character is cut in two.
            head = head[: head.rfind(b"\n") + 1] or head
            for row in csv.reader(StringIO(decoded(head, info.filename))):
                found.update(_parts(row))
        # A damaged list is left out here, and reported when it is unpacked.
        except _UNREADABLE:
            continue
    return found


def _parts(paths: Iterable[str]) -> set[str]:
    """Return the names of folders and files in ``paths`` that are not ASCII."""
    parts = {part for path in paths for part in path.replace("\\", "/").split("/")}
    return {nfc(part) for part in parts if not part.isascii()}


def _all_in(encoding: str, raws: Iterable[bytes]) -> dict[bytes, str] | None:
    texts = {raw: _text(raw, encoding) for raw in raws}
    return None if None in texts.values() else {raw: text or "" for raw, text in texts.items()}


def _text(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None

"""Remove metadata from a photo's file: texts, colour profiles and cameras' notes.

Pillow reads metadata when it opens a photo, and refuses the whole photo where some of it is wrong
or larger than its limits. What remains is what the pixels need. Sources: PNG 3rd edition, 5; JPEG
(T.81), B.1.1; TIFF 6.0, 2.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_TIFF: Final = {b"II*\0": "<", b"MM\0*": ">"}

#: JPEG markers: those without a length; then the start of the pixels, JFIF, EXIF, Adobe, the last
#: APP marker, a comment.
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN, _APP0, _APP1, _ADOBE, _APP15, _COMMENT = 0xDA, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
#: The least length of a segment that describes the colours: a shorter one is left out.
_SHORTEST: Final = {_APP0: 14, _ADOBE: 12}

#: TIFF tags that are not needed to decode the pixels: texts, resolution, orientation, colour
#: profile, and the directories of EXIF, GPS, IPTC, XMP and Photoshop.
_TIFF_NOTES: Final = frozenset(
    {269, 270, 271, 272, 274, 282, 283, 285, 286, 287, 296, 305, 306, 315, 316, 700}
    | {33432, 33723, 34377, 34665, 34675, 34853, 37510, 37724, 40965}
)


class Bare(NamedTuple):
    """A photo's file without metadata, and the EXIF block that it had."""

    content: bytes
    exif: bytes


def without_metadata(content: bytes) -> Bare | None:
    """Remove the metadata of a PNG, JPEG or TIFF; return None for other formats."""
    try:
        if content.startswith(_PNG):
            return _bare_png(content)
        if content.startswith(_JPEG):
            return _bare_jpeg(content)
        if content[:4] in _TIFF:
            return _bare_tiff(content)
    except (struct.error, IndexError):  # cut short
        pass
    return None


def _bare_png(content: bytes) -> Bare:
    parts, exif = [_PNG], b""
    for kind, chunk in _chunks(content):
        # A capital first letter marks a critical chunk, which decoders need.
        if kind[:1].isupper() or kind == b"tRNS":
            parts.append(chunk)
        elif kind == b"eXIf" and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big"):
            exif = chunk[8:-4]
    return Bare(b"".join(parts), exif)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind of each chunk, and its bytes with length and checksum."""
    at = len(_PNG)
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at : at + 12 + length]
        at += 12 + length


def _bare_jpeg(content: bytes) -> Bare:
    parts, exif = [content[:2]], b""
    at = 2
    while content[at : at + 1] == b"\xff":
        marker = content[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == _SCAN:
            break
        (length,) = (0,) if marker in _ALONE else struct.unpack_from(">H", content, at + 2)
        segment = content[at : at + 2 + length]
        if marker == _APP1 and segment[4:].startswith(b"Exif\0\0"):
            exif = exif + segment[10:] if exif else segment[4:]
        needed = len(segment) - 4 >= _SHORTEST[marker] if marker in _SHORTEST else False
        if needed or not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            parts.append(segment)
        at += 2 + length
    return Bare(b"".join([*parts, content[at:]]), exif)


def _bare_tiff(content: bytes) -> Bare | None:
    """Shorten the first picture's directory in place, so that no offset changes.

    Return None where the tags do not ascend: then the directory itself is damaged.
    """
    order = _TIFF[content[:4]]
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    places = range(start + 2, start + 2 + 12 * count, 12)
    tags = [struct.unpack_from(f"{order}H", content, at)[0] for at in places]
    if tags != sorted(set(tags)):
        return None
    kept = [
        content[at : at + 12]
        for at, tag in zip(places, tags, strict=True)
        if tag not in _TIFF_NOTES
    ]
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    end = start + len(directory)
    return Bare(content[:start] + directory + content[end:], content)

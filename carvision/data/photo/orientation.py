"""Read the EXIF orientation of a photo, without the rest of its metadata, and turn it upright.

Cameras and editors write this tag in other types than the standard's SHORT, and write other tags
wrong. Pillow reads and rewrites the whole EXIF block when it turns a photo, and fails on any wrong
value. So this one tag is read here: EXIF is a TIFF header and a directory of 12-byte entries
(EXIF 2.32, 4.6.2).
"""

import re
import struct
from typing import Final

from PIL import Image

_ORIENTATION: Final = 0x0112
_HEADER: Final = b"Exif\0\0"
_XMP: Final = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')

#: The second spelling of each is wrong, but some programs write it.
_ORDERS: Final = {b"II*\0": "<", b"II\0*": "<", b"MM\0*": ">", b"MM*\0": ">"}
#: The format character of ``struct`` for each of TIFF's types.
_NUMBERS: Final = {1: "B", 6: "B", 3: "H", 8: "H", 4: "I", 9: "I", 11: "f", 12: "d"}
_BYTES_OF: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_ASCII: Final = 2
_UNDEFINED: Final = 7
_RATIONALS: Final = (5, 10)

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(image: Image.Image, metadata: bytes) -> int:
    """Return the orientation of an opened photo, 1 to 8; 1 where there is no valid one.

    ``metadata`` is the content of a TIFF, or the EXIF block that was removed from the photo.
    """
    exif = _exif_of(image) or metadata
    found = orientation_in(exif)
    if found is None:
        match = _XMP.search(_xmp_of(image))
        found = int(match[1]) if match else 1
    return found if found in _TURNS else 1


def is_turned_when_loaded(image: Image.Image) -> bool:
    """Whether Pillow turns the photo itself, as it does with a TIFF whose tag is valid."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_ORIENTATION) in _TURNS


def orientation_in(exif: bytes) -> int | None:
    """Read the orientation tag of an EXIF block or a TIFF file; None where there is none."""
    while exif.startswith(_HEADER):
        exif = exif.removeprefix(_HEADER)
    order = _ORDERS.get(exif[:4])
    if order is None:
        return None
    found = None
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            (tag,) = struct.unpack_from(f"{order}H", exif, at)
            if tag == _ORIENTATION:
                found = _value(exif, at, order)
    except struct.error:  # cut short: keep what was found before
        pass
    return found


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Turn ``image`` upright; return the same object where its orientation is 1."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _exif_of(image: Image.Image) -> bytes:
    exif = image.info.get("exif", b"")
    if not exif and "Raw profile type exif" in image.info:  # as ImageMagick writes it into a PNG
        lines = str(image.info["Raw profile type exif"]).split("\n")
        try:
            exif = bytes.fromhex("".join(lines[3:]))
        except ValueError:
            exif = b""
    return exif if isinstance(exif, bytes) else b""


def _xmp_of(image: Image.Image) -> bytes:
    xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp")
    if isinstance(xmp, str):
        return xmp.encode("utf-8", "replace")
    return xmp if isinstance(xmp, bytes) else b""


def _value(exif: bytes, at: int, order: str) -> int:
    """Read the first value of the directory entry at ``at`` as an integer; 0 where it is none."""
    kind, count = struct.unpack_from(f"{order}HI", exif, at + 2)
    if count == 0 or kind not in _BYTES_OF:
        return 0
    place = at + 8
    if count * _BYTES_OF[kind] > 4:
        (place,) = struct.unpack_from(f"{order}I", exif, at + 8)
    if kind == _ASCII:
        text = exif[place : place + min(count, 8)].strip(b"\0 ")
        return int(text) if text.isdigit() else 0
    if kind == _UNDEFINED:
        first = exif[place : place + min(count, 4)]
        return int.from_bytes(first, "little" if order == "<" else "big")
    if kind in _RATIONALS:
        above, below = struct.unpack_from(f"{order}II", exif, place)
        return above // below if below and above % below == 0 else 0
    (number,) = struct.unpack_from(order + _NUMBERS[kind], exif, place)
    return int(number) if number == number // 1 else 0

"""Texts, colour profiles and damaged notes leave no photo unread, and change no pixel."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import MAX_TEXT_CHUNK, MAX_TEXT_MEMORY

from carvision.data.photo.decode import decode
from carvision.data.photo.file import load_upright
from carvision.data.photo.metadata import without_metadata


def _picture(mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 36, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _encoded(form, image=None, **options):
    buffer = BytesIO()
    (image or _picture()).save(buffer, form, **options)
    return buffer.getvalue()


def _chunk(kind, content, checksum=None):
    summed = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", summed)


_LARGE = zlib.compress(bytes(MAX_TEXT_CHUNK + 1))
_PART = zlib.compress(bytes(MAX_TEXT_CHUNK - 1))
_EXIF = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, 6) + bytes(4)

CHUNKS = {
    "zTXt": _chunk(b"zTXt", b"a\0\0" + _LARGE),
    "iTXt": _chunk(b"iTXt", b"a\0\1\0\0\0" + _LARGE),
    "iCCP": _chunk(b"iCCP", b"a\0\0" + _LARGE),
    "iCCP of an unknown method": _chunk(b"iCCP", b"a\0\7" + _LARGE),
    "many texts": _chunk(b"zTXt", b"a\0\0" + _PART) * (MAX_TEXT_MEMORY // MAX_TEXT_CHUNK + 2),
    "zTXt of an unknown method": _chunk(b"zTXt", b"a\0\7text"),
    "gAMA too short": _chunk(b"gAMA", b"\0"),
    "cHRM too short": _chunk(b"cHRM", b"\0"),
    "pHYs too short": _chunk(b"pHYs", b"\0"),
    "acTL too short": _chunk(b"acTL", b"\0"),
    "a wrong checksum": _chunk(b"tEXt", b"a\0b", checksum=1),
    "XMP too large": _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + _LARGE),
}


@pytest.mark.parametrize("place", ["before the pixels", "after the pixels"])
@pytest.mark.parametrize("what", CHUNKS)
@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_png(tmp_path, what, place, mode):
    plain = _encoded("PNG", _picture(mode))
    # After IHDR, which has 25 bytes, or before IEND, which has 12.
    at = 8 + 25 if place == "before the pixels" else len(plain) - 12
    content = plain[:at] + CHUNKS[what] + plain[at:]
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    np.testing.assert_array_equal(decode(path, 24), decode(plain, 24))


def test_a_png_is_turned_although_its_text_is_too_large():
    plain = _encoded("PNG")
    content = plain[:33] + _chunk(b"eXIf", _EXIF) + CHUNKS["zTXt"] + plain[33:]
    shown = load_upright(content)
    assert (shown.orientation, shown.image.size) == (6, (24, 36))


def _segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


@pytest.mark.parametrize(
    "segment",
    [
        _segment(0xE0, b"JFIF"),
        _segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
        _segment(0xE2, b"MPF\0"),
        _segment(0xED, b"Photoshop 3.0\0" + b"8BIM\3\xed\0\0\0\0\0\1\0"),
        _segment(0xEE, b"Adobe"),
        _segment(0xE1, b"Exif\0\0"),
    ],
)
def test_jpeg(segment):
    plain = _encoded("JPEG", exif=b"Exif\0\0" + _EXIF)
    shown = load_upright(plain[:2] + segment + plain[2:])
    assert shown.image.size == (24, 36)
    expected = load_upright(plain)
    np.testing.assert_array_equal(np.asarray(shown.image), np.asarray(expected.image))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_bare_jpeg_has_the_same_colours(mode):
    content = _encoded("JPEG", _picture(mode), exif=b"Exif\0\0" + _EXIF, comment=b"no pixel")
    bare = without_metadata(content)
    assert bare.exif == b"Exif\0\0" + _EXIF
    assert b"no pixel" not in bare.content
    with Image.open(BytesIO(content)) as whole, Image.open(BytesIO(bare.content)) as less:
        np.testing.assert_array_equal(np.asarray(whole), np.asarray(less))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_bare_tiff_has_the_same_pixels(compression):
    content = _encoded("TIFF", compression=compression, dpi=(72, 72), description="no pixel")
    bare = without_metadata(content)
    assert len(bare.content) == len(content)
    with Image.open(BytesIO(content)) as whole, Image.open(BytesIO(bare.content)) as less:
        assert 270 in whole.tag_v2 and 270 not in less.tag_v2
        np.testing.assert_array_equal(np.asarray(whole), np.asarray(less))


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\xff\xd8\xff\xe0", b"II*\0", b"MM\0*\0\0\0\x08"]
)
def test_nothing_to_leave_out(content):
    assert without_metadata(content) in (None, (content, b""))

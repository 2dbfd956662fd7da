"""A photo is turned by its orientation tag, whatever its type, and whatever stands beside it."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from carvision.data.folder.listing import Photo
from carvision.data.photo.decode import decode, thumbnail
from carvision.data.photo.file import load_upright
from carvision.data.photo.orientation import orientation_in
from carvision.data.preparation.scan import scan_photos

_TAG = 0x0112


def _block(order, *entries):
    """A TIFF header and one directory of (tag, type, count, value bytes)."""
    signs = {"<": b"II*\0", ">": b"MM\0*"}
    directory, values = b"", b""
    after = 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        if len(value) <= 4:
            field = value.ljust(4, b"\0")
        else:
            field = struct.pack(f"{order}I", after + len(values))
            values += value
        directory += struct.pack(f"{order}HHI", tag, kind, count) + field
    head = signs[order] + struct.pack(f"{order}IH", 8, len(entries))
    return head + directory + bytes(4) + values


def _orientation(order, kind, count, form, *values):
    value = values[0] if form == "bytes" else struct.pack(order + form, *values)
    return (_TAG, kind, count, value)


#: Type, count and value of the tag, and the orientation that it means.
TAGS = [
    (3, 1, "H", (6,), 6),
    (3, 1, "H", (1,), 1),
    (3, 2, "HH", (6, 6), 6),
    (3, 4, "HHHH", (6, 6, 6, 6), 6),
    (3, 0, "bytes", (b"",), 1),
    (4, 1, "I", (8,), 8),
    (9, 1, "i", (3,), 3),
    (9, 1, "i", (-1,), 1),
    (1, 1, "B", (6,), 6),
    (6, 1, "b", (5,), 5),
    (2, 2, "bytes", (b"6\0",), 6),
    (2, 9, "bytes", (b"Rotate 90",), 1),
    (7, 1, "bytes", (b"\x06",), 6),
    (7, 2, "H", (6,), 6),
    (5, 1, "II", (6, 1), 6),
    (5, 1, "II", (6, 0), 1),
    (5, 1, "II", (13, 2), 1),
    (10, 1, "ii", (7, 1), 7),
    (11, 1, "f", (6.0,), 6),
    (11, 1, "f", (float("nan"),), 1),
    (12, 1, "d", (float("inf"),), 1),
    (3, 1, "H", (0,), 1),
    (3, 1, "H", (9,), 1),
    (99, 1, "H", (6,), 1),
    (3, 2**31, "bytes", (b"\xff\xff\xff\xff",), 1),
]

#: Other tags that cameras and editors write wrong.
STRANGERS = [
    (0x011A, 10, 1, struct.pack("<ii", -1, 0)),
    (0x011A, 5, 2, struct.pack("<IIII", 72, 1, 72, 1)),
    (0x0128, 2, 5, b"inch\0"),
    (0x010F, 3, 1, b"\1\0"),
    (0x8769, 4, 1, struct.pack("<I", 2**32 - 1)),
    (0x8825, 4, 1, struct.pack("<I", 0)),
    (0x9003, 12, 9, b"\0" * 72),
    (0x010F, 2, 2**31, b"\xff\xff\xff\x7f"),
]


def _picture():
    return Image.fromarray((np.mgrid[0:24, 0:36].sum(axis=0) * 4).astype(np.uint8)).convert("RGB")


def _encoded(form, exif, **options):
    buffer = BytesIO()
    _picture().save(buffer, form, exif=exif, **options)
    return buffer.getvalue()


def _size(orientation):
    return (36, 24) if orientation <= 4 else (24, 36)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "count", "form", "values", "expected"), TAGS)
def test_types_of_the_tag(order, kind, count, form, values, expected):
    exif = _block(order, _orientation(order, kind, count, form, *values))
    shown = load_upright(_encoded("JPEG", b"Exif\0\0" + exif))
    assert (shown.orientation, shown.image.size) == (expected, _size(expected))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_stands_beside_the_tag_decides_nothing(tmp_path, form, stranger):
    exif = _block("<", _orientation("<", 3, 1, "H", 6), stranger)
    path = tmp_path / "photo.jpg"
    path.write_bytes(_encoded(form, b"Exif\0\0" + exif))
    row = scan_photos(tmp_path, [Photo("photo.jpg", "photo.jpg", 1, 1)]).iloc[0]
    assert (row["excluded"], row["orientation"]) == ("", 6)
    assert (row["width"], row["height"]) == (24, 36)
    assert decode(path, 16).shape == (16, 16, 3)
    with Image.open(BytesIO(thumbnail(path, 36))) as small:
        assert small.size == (24, 36)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "count", "form", "values", "expected"), TAGS)
def test_tiff(order, kind, count, form, values, expected):
    pixels = np.asarray(_picture())
    tags = [
        (256, 3, 1, struct.pack(f"{order}H", 36)),
        (257, 3, 1, struct.pack(f"{order}H", 24)),
        (258, 3, 3, struct.pack(f"{order}HHH", 8, 8, 8)),
        (259, 3, 1, struct.pack(f"{order}H", 1)),
        (262, 3, 1, struct.pack(f"{order}H", 2)),
        (273, 4, 1, struct.pack(f"{order}I", 1000)),
        _orientation(order, kind, count, form, *values),
        (277, 3, 1, struct.pack(f"{order}H", 3)),
        (278, 3, 1, struct.pack(f"{order}H", 24)),
        (279, 4, 1, struct.pack(f"{order}I", pixels.nbytes)),
        # A resolution without a value.
        (282, 5, 0, b""),
    ]
    content = _block(order, *tags).ljust(1000, b"\0") + pixels.tobytes()
    shown = load_upright(content)
    assert (shown.orientation, shown.image.size) == (expected, _size(expected))
    plain = load_upright(
        _encoded("PNG", b"Exif\0\0" + _block("<", (_TAG, 3, 1, bytes([expected]))))
    )
    np.testing.assert_array_equal(np.asarray(shown.image), np.asarray(plain.image))


@pytest.mark.parametrize("length", range(0, 26))
def test_a_block_that_is_cut_short(length):
    whole = _block("<", _orientation("<", 3, 1, "H", 6))
    assert orientation_in(whole[:length]) in (None, 0, 6)
    assert load_upright(_encoded("JPEG", b"Exif\0\0" + whole[:length])).orientation in (1, 6)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("text", ['<a tiff:Orientation="6"/>', "<tiff:Orientation>6</tiff:O>"])
def test_xmp_counts_where_there_is_no_tag(form, text):
    options = {"xmp": text.encode()}
    if form == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", text)
        options = {"pnginfo": info}
    buffer = BytesIO()
    _picture().save(buffer, form, **options)
    assert load_upright(buffer.getvalue()).orientation == 6
    tagged = _encoded(form, b"Exif\0\0" + _block("<", (_TAG, 3, 1, b"\3")), **options)
    assert load_upright(tagged).orientation == 3


def test_the_block_that_imagemagick_writes_into_a_png():
    from PIL.PngImagePlugin import PngInfo

    block = b"Exif\0\0" + _block("<", _orientation("<", 3, 1, "H", 6))
    info = PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    buffer = BytesIO()
    _picture().save(buffer, "PNG", pnginfo=info)
    assert load_upright(buffer.getvalue()).orientation == 6


_SIX = _block("<", _orientation("<", 3, 1, "H", 6))
_AS_TEXT = f"\nexif\n{len(_SIX):8}\n{_SIX.hex()}\n".encode()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (b"eXIf", _SIX),
        (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<a tiff:Orientation="6"/>'),
        (b"tEXt", b"Raw profile type exif\0" + _AS_TEXT),
    ],
)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_a_png_may_say_it_behind_its_pixels(kind, value, before):
    plain = _encoded("PNG", b"")
    at = plain.index(before) - 4
    checksum = struct.pack(">I", zlib.crc32(kind + value))
    chunk = struct.pack(">I", len(value)) + kind + value + checksum
    shown = load_upright(plain[:at] + chunk + plain[at:])
    assert (shown.orientation, shown.image.size) == (6, (24, 36))

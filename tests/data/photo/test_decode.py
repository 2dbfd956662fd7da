"""Photos of all kinds become RGB squares, as Pillow would show them."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from carvision.data.photo.decode import WHOLE, decode, in_pixels, thumbnail
from carvision.errors import DataError

#: Red, green, blue and white quarters: any turn or mirroring shows.
CORNERS = {"upper left": (220, 30, 30), "upper right": (30, 200, 30)}
CORNERS |= {"lower left": (30, 30, 220), "lower right": (240, 240, 240)}


def _quarters(width=96, height=64):
    image = Image.new("RGB", (width, height))
    for i, colour in enumerate(CORNERS.values()):
        left, upper = (i % 2) * width // 2, (i // 2) * height // 2
        image.paste(colour, (left, upper, left + width // 2, upper + height // 2))
    return image


def _encoded(image, form="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _smooth(width, height):
    """A picture without sharp edges and without symmetry."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [np.sin(7 * x + 2 * y), np.cos(5 * y + x), np.sin(9 * x * y + 1)]
    return Image.fromarray((127.5 + 110 * np.stack(waves, axis=2)).astype(np.uint8))


def _distance(a, b):
    return np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float))


def _corner_distance(pixels, expected):
    quarter = len(pixels) // 4
    found = [pixels[y, x] for y in (quarter, -quarter) for x in (quarter, -quarter)]
    return _distance(found, expected).max()


@pytest.mark.parametrize("size", [1, 8, 33, 200])
def test_shape(size):
    pixels = decode(_encoded(_quarters(), "JPEG"), size)
    assert (pixels.shape, pixels.dtype) == ((size, size, 3), np.uint8)
    assert pixels.flags.writeable


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_formats_from_a_file_and_from_bytes(tmp_path, form):
    content = _encoded(_quarters(), form)
    path = tmp_path / f"photo.{form.lower()}"
    path.write_bytes(content)
    pixels = decode(path, 32)
    np.testing.assert_array_equal(pixels, decode(content, 32))
    assert _corner_distance(pixels, list(CORNERS.values())) <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encoded(_smooth(300, 200), "JPEG", exif=exif, quality=95)
    with Image.open(BytesIO(content)) as image:
        shown = ImageOps.exif_transpose(image).convert("RGB")
    assert shown.size == ((300, 200) if orientation <= 4 else (200, 300))
    pixels = decode(content, 40)
    assert _distance(pixels, shown.resize((40, 40), Image.Resampling.BICUBIC)).mean() < 2
    if orientation != 1:
        plain = _smooth(300, 200).resize((40, 40), Image.Resampling.BICUBIC)
        assert _distance(pixels, plain).mean() > 10


@pytest.mark.parametrize(
    ("mode", "form"), [("L", "PNG"), ("L", "JPEG"), ("LA", "PNG"), ("1", "PNG")]
)
def test_grey(mode, form):
    grey = ImageOps.grayscale(_quarters())
    pixels = decode(_encoded(grey.convert(mode), form), 32)
    assert (pixels == pixels[:, :, :1]).all()
    if mode != "1":
        assert _distance(pixels[:, :, 0], grey.resize((32, 32))).mean() < 8


def test_grey_of_sixteen_bits():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, axis=0)
    pixels = decode(_encoded(Image.fromarray(ramp)), 16)
    assert _distance(pixels[0, :, 0], np.linspace(0, 255, 16)).max() < 12


@pytest.mark.parametrize(
    ("mode", "form"), [("P", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("RGBA", "PNG")]
)
def test_other_colour_modes(mode, form):
    content = _encoded(_quarters().convert(mode), form)
    with Image.open(BytesIO(content)) as image:
        assert image.mode == mode
    assert _corner_distance(decode(content, 32), list(CORNERS.values())) <= 40


@pytest.mark.parametrize(
    ("box", "corner"),
    [
        ((0.0, 0.0, 0.5, 0.5), "upper left"),
        ((0.5, 0.0, 1.0, 0.5), "upper right"),
        ((0.0, 0.5, 0.5, 1.0), "lower left"),
        ((0.6, 0.7, 0.9, 0.8), "lower right"),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_box(box, corner, form):
    pixels = decode(_encoded(_quarters(960, 640), form), 24, box)
    assert pixels.shape == (24, 24, 3)
    # The outermost pixels may see their neighbours; the others are of the quarter alone.
    assert _distance(pixels[2:-2, 2:-2], CORNERS[corner]).max() <= 12


def test_box_is_of_the_photo_as_shown():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise: the lower left quarter comes to the upper left
    pixels = decode(_encoded(_quarters(960, 640), "JPEG", exif=exif), 24, (0.0, 0.0, 0.5, 0.5))
    assert _distance(pixels[2:-2, 2:-2], CORNERS["lower left"]).max() <= 12


def test_a_whole_box_is_the_default():
    content = _encoded(_smooth(90, 60), "JPEG")
    np.testing.assert_array_equal(decode(content, 32), decode(content, 32, WHOLE))


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("photo", [(1280, 960), (690, 437), (50, 300)])
@pytest.mark.parametrize("size", [32, 160])
@pytest.mark.parametrize("box", [WHOLE, (0.2, 0.3, 0.9, 0.8)])
def test_close_to_plain_decoding(form, photo, size, box):
    """Within 2 of 255 on average, and 12 anywhere: scaled decoding is no other picture.

    A JPEG whose sides are no multiple of the scale is decoded with a last pixel that is partly
    padding, which squeezes the picture by up to one scaled pixel.
    """
    content = _encoded(_smooth(*photo), form)
    with Image.open(BytesIO(content)) as image:
        plain = image.convert("RGB")
    width, height = plain.size
    edges = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
    expected = plain.resize((size, size), Image.Resampling.BICUBIC, box=edges)
    distance = _distance(decode(content, size, box), expected)
    assert distance.mean() < 2
    assert distance.max() <= 12


@pytest.mark.parametrize("content", [b"", b"no photo", _encoded(_smooth(90, 60), "JPEG")[:-300]])
def test_an_unreadable_photo_is_named(tmp_path, content):
    path = tmp_path / "K5_0001.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"K5_0001\.jpg cannot be read: "):
        decode(path, 32)
    with pytest.raises(DataError, match=f"photo {len(content)} bytes cannot be read: "):
        decode(content, 32)
    with pytest.raises(DataError, match=r"photo row 3 cannot be read: "):
        decode(content, 32, name="row 3")


def test_a_missing_photo_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.jpg cannot be read: "):
        decode(tmp_path / "absent.jpg", 32)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(form):
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    content = _encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
    assert _distance(decode(content, 16), (255, 0, 0)).max() <= 12


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_dropped_as_pillow_does(mode):
    image = _smooth(60, 40).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((60, 40)))
    content = _encoded(image.convert(mode), "PNG")
    with Image.open(BytesIO(content)) as opened:
        assert opened.mode == mode
        expected = opened.convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)
    assert _distance(decode(content, 16), expected).max() <= 2


def _png_of_claimed_size(width, height):
    """A PNG whose header promises more pixels than its few bytes hold."""
    content = bytearray(_encoded(Image.new("L", (4, 4))))
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_a_decompression_bomb_is_refused_by_its_pixels():
    with pytest.raises(DataError, match="decompression bomb"):
        decode(_png_of_claimed_size(20_000, 10_001), 32)


@pytest.mark.parametrize("longest", [20, 400])
def test_a_thumbnail_keeps_the_photos_shape(tmp_path, longest):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.jpg"
    path.write_bytes(_encoded(_quarters(96, 64), "JPEG", exif=exif))
    with Image.open(BytesIO(thumbnail(path, longest))) as small:
        assert small.format == "JPEG"
        # Never enlarged.
        assert max(small.size) == min(longest, 96)
        assert small.height > small.width


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (WHOLE, (0, 0, 100, 50)),
        ((0.101, 0.5, 0.899, 0.98), (10, 25, 90, 49)),
        ((0.0, 0.0, 1.0000000001, 1.0), (0, 0, 100, 50)),
        ((0.999, 0.999, 1.0, 1.0), (99, 49, 100, 50)),
        ((1.0, 1.0, 1.0, 1.0), (99, 49, 100, 50)),
    ],
)
def test_boxes_of_whole_pixels(box, expected):
    assert in_pixels(box, 100, 50) == expected

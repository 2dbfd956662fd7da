"""What one request may ask for, by whichever setting."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from carvision.errors import ConfigError, DataError
from carvision.serving import default_model_config
from carvision.serving.limits import MAX_PHOTOS, MAX_PIXELS, Limits

SERVER = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (MAX_PHOTOS, MAX_PIXELS, SERVER):
        monkeypatch.delenv(name, raising=False)


def _photo(width: int, height: int, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("environment", "config", "expected"),
    [
        ({}, {}, (None, None)),
        ({}, default_model_config(), (None, None)),
        ({}, {"max_photos": 7, "max_photo_pixels": 300}, (7, 300)),
        ({}, {"max_photos": 7.0, "max_photo_pixels": 5e7}, (7, 50_000_000)),
        ({MAX_PHOTOS: "9", MAX_PIXELS: "100_000_000"}, {"max_photos": 7}, (9, 100_000_000)),
        ({MAX_PHOTOS: ""}, {"max_photos": 7}, (7, None)),
    ],
)
def test_settings(
    environment: dict[str, str],
    config: dict[str, object],
    expected: tuple[int | None, int | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Limits.of(config) == Limits(*expected)


@pytest.mark.parametrize("value", [0, -1, 1.5, float("inf"), float("nan"), [1], {}, "1" * 400])
def test_a_wrong_value_of_any_type(value: object) -> None:
    with pytest.raises(ConfigError, match=r"max_photos=.*: expected a whole number above 0"):
        Limits.of({"max_photos": value})


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "inf", "nan"])
def test_wrong_settings(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"max_photos=.*: expected a whole number above 0"):
        Limits.of({"max_photos": value})
    monkeypatch.setenv(MAX_PIXELS, value)
    with pytest.raises(ConfigError, match=f"{MAX_PIXELS}=.*: expected a whole number above 0"):
        Limits.of({})


def test_only_a_server_has_limits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    many, large = [b""] * 1000, [_claiming(8000, 7000)]
    Limits.of({}).check(many + large)
    monkeypatch.setenv(SERVER, "true")
    with pytest.raises(DataError, match=r"1,001 photos .* more than the 1,000 .*MAX_PHOTOS"):
        Limits.of({}).check([*many, b""])
    with pytest.raises(DataError, match=r"image 0: 56\.0 megapixels .* 50\.0 .*MAX_PHOTO_PIXELS"):
        Limits.of({}).check(large)
    Limits.of({"max_photos": 1001, "max_photo_pixels": 56_000_000}).check(many + large)


def _claiming(width: int, height: int) -> bytes:
    """A PNG whose header tells another size than it has."""
    header = b"IHDR" + struct.pack(">2L5B", width, height, 8, 2, 0, 0, 0)
    photo = _photo(30, 20)
    return photo[:12] + header + struct.pack(">L", zlib.crc32(header)) + photo[33:]


def _with_much_text(photo: bytes) -> bytes:
    """A PNG whose metadata are more than Pillow reads, before its pixels."""
    text = b"a\0\0" + zlib.compress(bytes(2**21))
    sum_of = struct.pack(">L", zlib.crc32(b"zTXt" + text))
    return photo[:33] + struct.pack(">L", len(text)) + b"zTXt" + text + sum_of + photo[33:]


@pytest.mark.parametrize(
    "photo",
    [
        _photo(30, 20),
        _photo(30, 20, "JPEG"),
        _photo(30, 20, "TIFF"),
        _photo(30, 20, "BMP"),
        _photo(30, 20, "WEBP"),
        _photo(30, 20, "GIF", save_all=True, append_images=[Image.new("RGB", (30, 20), 255)]),
        _photo(30, 20, "JPEG2000"),
        _with_much_text(_photo(30, 20)),
    ],
    ids=["png", "jpeg", "tiff", "bmp", "webp", "gif", "jpeg 2000", "png with much text"],
)
def test_pixels_are_counted_by_the_header(photo: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(photo)
    for given in (photo, path):
        Limits(None, 600).check([given])
        with pytest.raises(DataError, match=r"image 1: 0\.0 megapixels are more than"):
            Limits(None, 599).check([b"no photo", given])


def test_what_cannot_be_read_is_left_to_the_decoder(tmp_path: Path) -> None:
    unreadable = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", tmp_path / "gone"]
    assert Limits(None, 1).check(unreadable) is None

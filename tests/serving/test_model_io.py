"""The input and output of registered models: what is read as a photo, and what is refused."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from carvision.data.photo.decode import decode
from carvision.errors import DataError
from carvision.serving import default_model_config, input_example, model_signature
from carvision.serving.model_io import ALLOW_PATHS, encoded_photos, paths_allowed


def _encoded(kind: str = "PNG") -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 6), (10, 200, 30)).save(buffer, kind)
    return buffer.getvalue()


PHOTO = _encoded()
TEXT = base64.b64encode(PHOTO).decode()


def _table(*values: object) -> pd.DataFrame:
    return pd.DataFrame({"image": pd.Series(values, dtype=object)})


@pytest.mark.parametrize("allow_paths", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        PHOTO,
        bytearray(PHOTO),
        memoryview(PHOTO),
        TEXT,
        # As `base64 photo.png` prints it, and Python's encodebytes.
        base64.encodebytes(PHOTO).decode(),
    ],
    ids=["bytes", "bytearray", "memoryview", "text", "text in lines"],
)
def test_bytes_and_base64_text_are_photos(value: object, allow_paths: bool) -> None:
    assert encoded_photos(_table(value), allow_paths=allow_paths) == [PHOTO]


def test_every_row_counts_in_order_and_other_columns_do_not() -> None:
    other = _encoded("BMP")
    table = _table(PHOTO, base64.b64encode(other).decode(), PHOTO)
    table.insert(0, "name", ["x", "y", "z"])
    table.index = pd.Index([7, 7, 3])
    assert encoded_photos(table, allow_paths=False) == [PHOTO, other, PHOTO]
    assert encoded_photos(_table(), allow_paths=False) == []


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "NoneType"),
        (5, "int"),
        (float("nan"), "float"),
        (["x"], "list"),
        ({}, "dict"),
        (pd.NA, "NAType"),
    ],
)
def test_other_types_are_refused_with_their_row(value: object, kind: str) -> None:
    with pytest.raises(DataError, match=f"image 1: expected base64 text or bytes, got {kind}"):
        encoded_photos(_table(PHOTO, value), allow_paths=True)


@pytest.mark.parametrize(
    "text", ["not base64!", "data:image/png;base64,AAAA", "ABC", "사진", "\udcff", "a\0b"]
)
@pytest.mark.parametrize("allow_paths", [True, False])
def test_other_text_is_refused(text: str, allow_paths: bool) -> None:
    with pytest.raises(DataError, match="image 0: neither base64 text nor bytes"):
        encoded_photos(_table(text), allow_paths=allow_paths)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"expected a column 'image', got \['photo'\]"):
        encoded_photos(pd.DataFrame({"photo": [TEXT]}), allow_paths=False)


def test_a_path_is_a_photo_only_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(PHOTO)
    assert encoded_photos(_table(str(path)), allow_paths=True) == [path]
    with pytest.raises(DataError, match=f"{ALLOW_PATHS}=1"):
        encoded_photos(_table(str(path)), allow_paths=False)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(DataError, match="image 0"):
            encoded_photos(_table(str(path)), allow_paths=True)


def test_an_allowed_path_may_look_like_base64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Letters and slashes, eight of them: a name without a suffix is text of base64's alphabet."""
    monkeypatch.chdir(tmp_path)
    Path("cars").mkdir()
    Path("cars/k5a").write_bytes(PHOTO)
    assert encoded_photos(_table("cars/k5a"), allow_paths=True) == [Path("cars/k5a")]


@pytest.mark.parametrize(
    ("environment", "config", "expected"),
    [
        (None, None, False),
        (None, {}, False),
        (None, {"allow_paths": False}, False),
        (None, {"allow_paths": True}, True),
        ("1", None, True),
        ("1", {"allow_paths": False}, True),
        ("0", {}, False),
        ("", {}, False),
    ],
)
def test_who_may_allow_paths(
    environment: str | None,
    config: dict[str, object] | None,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CARVISION_ALLOW_PATHS", raising=False)
    if environment is not None:
        monkeypatch.setenv("CARVISION_ALLOW_PATHS", environment)
    assert paths_allowed(config) is expected


def test_paths_are_off_unless_someone_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOW_PATHS, raising=False)
    assert not paths_allowed(default_model_config())


def test_the_signature_names_the_input_and_every_class() -> None:
    names = ("K5_하이브리드", "Niro", "RAV4")
    signature = model_signature(names)
    assert signature.inputs.input_names() == ["image"]
    assert tuple(signature.outputs.input_names()) == names
    assert {str(kind) for kind in signature.outputs.input_types()} == {"DataType.double"}


def test_the_input_example_is_a_photo() -> None:
    (photo,) = encoded_photos(input_example(), allow_paths=False)
    pixels = decode(photo, 16)
    assert pixels.shape == (16, 16, 3)
    np.testing.assert_allclose(pixels.astype(int), 128, atol=2)

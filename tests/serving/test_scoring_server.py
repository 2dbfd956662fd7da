"""Requests to the scoring server: what people try first is answered, the rest gets a sentence."""

import base64
import json
import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from PIL import Image

from carvision.errors import DataError
from carvision.models import Bundle
from carvision.serving import models
from tests.serving.conftest import Answer

Ask = Callable[..., Answer]


def _encoded(
    colour: tuple[int, int, int], kind: str = "PNG", size: tuple[int, int] = (9, 7)
) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _empty_png(width: int, height: int, depth: int = 8) -> bytes:
    """A PNG whose header is that of a photo, with next to no pixels behind it."""
    parts = [
        (b"IHDR", struct.pack(">2L5B", width, height, depth, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


ONE, TWO = _encoded((200, 30, 30)), _encoded((20, 180, 90), "JPEG")
TEXTS = [_text(ONE), _text(TWO)]


@pytest.fixture(scope="module")
def expected(model: PyFuncModel) -> np.ndarray:
    return model.predict(pd.DataFrame({"image": [ONE, TWO]})).to_numpy()


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": {"image": TEXTS}},
        {"inputs": TEXTS},
        {"inputs": [{"image": text} for text in TEXTS]},
        {"instances": [{"image": text} for text in TEXTS]},
        {"instances": {"image": TEXTS}},
        {"instances": TEXTS},
        {"dataframe_records": [{"image": text} for text in TEXTS]},
        {"dataframe_records": [{"image": text, "name": "x"} for text in TEXTS]},
        {"dataframe_split": {"columns": ["image"], "data": [[text] for text in TEXTS]}},
    ],
)
def test_what_people_send(body: object, ask: Ask, expected: np.ndarray, bundle: Bundle) -> None:
    status, answer = ask(body)
    assert status == 200
    assert [list(row) for row in answer["predictions"]] == [list(bundle.classes.names)] * 2
    found = np.array([list(row.values()) for row in answer["predictions"]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-8"])
def test_csv(kind: str, ask: Ask, expected: np.ndarray) -> None:
    for header in ("image", "name,image"):
        rows = [f"x,{text}" if "," in header else text for text in TEXTS]
        status, answer = ask("\n".join([header, *rows]).encode(), kind)
        assert status == 200
        found = np.array([list(row.values()) for row in answer["predictions"]])
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {"image": TEXTS},
        {"image": [ONE, TWO]},
        {"image": np.array(TEXTS)},
        [{"image": ONE}, {"image": TEXTS[1]}],
        pd.Series([ONE, TWO], name="image"),
        pd.DataFrame({"image": TEXTS}, dtype="category"),
    ],
    ids=["texts", "bytes", "array", "dictionaries", "series", "category"],
)
def test_what_people_predict(given: Any, model: PyFuncModel, expected: np.ndarray) -> None:
    np.testing.assert_allclose(model.predict(given).to_numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("one", [ONE, TEXTS[0]])
def test_a_single_photo(one: object, model: PyFuncModel, expected: np.ndarray) -> None:
    for given in ({"image": one}, {"image": [one]}):
        np.testing.assert_allclose(model.predict(given).to_numpy(), expected[:1], atol=1e-6)


NO_PHOTO = "the photo image 1 cannot be read: not an image"
NO_TEXT = "image 1: neither base64 text nor bytes of an encoded photo"
NO_COLUMN = "expected a column 'image': a request looks like"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("a photo, please", NO_TEXT),
        ("/etc/passwd", NO_TEXT),
        ("data:image/png;base64,AAAA", NO_TEXT),
        ("", NO_PHOTO),
        (_text(b"plain text"), NO_PHOTO),
        (_text(b"%PDF-1.7"), NO_PHOTO),
        (_text(TWO[: len(TWO) // 2]), "the photo image 1 cannot be read: OSError"),
        (_text(ONE[:50]), "the photo image 1 cannot be read"),
        (5, "image 1: expected base64 text or bytes, got int"),
        (None, r"image 1: expected base64 text or bytes, got float \(null or NaN\)"),
        (True, "image 1: expected base64 text or bytes, got bool"),
        ([TEXTS[0]], "image 1: expected base64 text or bytes, got list"),
        ({"b64": TEXTS[0]}, "image 1: expected base64 text or bytes, got dict"),
        (_text(_empty_png(9000, 9000)), r"image 1: 81\.0 megapixels are more than the 50\.0"),
        (_text(_empty_png(9000, 9000, 16)), r"image 1: 81\.0 megapixels are more than"),
        (_text(_empty_png(30000, 30000)), "the photo image 1 cannot be read: Decompression"),
        (_text(_encoded((1, 2, 3), "ICO", (16, 16))), "image 1: ICO files are not taken here"),
        (_text(_encoded((1, 2, 3), "EPS", (16, 16))), "image 1: EPS files are not taken here"),
    ],
)
def test_a_photo_that_is_none(value: object, sentence: str, ask: Ask) -> None:
    status, answer = ask({"dataframe_records": [{"image": TEXTS[0]}, {"image": value}]})
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert re.match(sentence, answer["message"])
    assert "\n" not in answer["message"] and len(answer["message"]) < 300
    assert "stack_trace" not in answer


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"dataframe_records": [{"photo": TEXTS[0]}]}, NO_COLUMN),
        ({"dataframe_records": []}, NO_COLUMN),
        ({"inputs": {"photo": TEXTS}}, NO_COLUMN),
        ({"inputs": 5}, NO_COLUMN),
        ({"inputs": None}, "no table of photos: "),
        ({"inputs": {"image": TEXTS, "name": ["x"]}}, "no table of photos: .*same length"),
        ({"inputs": {"image": TEXTS * 600}}, "1,200 photos in one request are more than the 1,000"),
        (b"photo\nx\n", NO_COLUMN),
        (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b"nonsense " * 1000, "not valid JSON: Expecting value"),
        (b'{"inputs": ["' + TEXTS[0].encode(), "not valid JSON: Unterminated string"),
        (b'{"inputs": "\xff"}', "not valid JSON: 'utf-8' codec can't decode"),
        (b'{"inputs": ' + b"1" * 5000 + b"}", "not valid JSON: Exceeds the limit"),
        (b"[1, 2]", "not valid JSON: .*Received a list"),
        (b"image\n1,2,3\n4,5\n" + b"1,2,3,4\n", "not valid CSV: .*Expected 3 fields"),
        (b"PAR1", "not valid Parquet"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deep"),
    ],
)
def test_a_body_that_is_wrong(body: object, sentence: str, ask: Ask) -> None:
    kinds = {"photo": "text/csv", "image": "text/csv", "PAR1": "application/vnd.apache.parquet"}
    start = body[:5].decode().strip() if isinstance(body, bytes) else ""
    status, answer = ask(body, kinds.get(start, "application/json"))
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert re.search(sentence, answer["message"])
    assert "\n" not in answer["message"] and "stack_trace" not in answer


def test_no_photos_have_no_probabilities(ask: Ask) -> None:
    for body in (
        {"inputs": {"image": []}},
        {"dataframe_split": {"columns": ["image"], "data": []}},
    ):
        assert ask(body) == (200, {"predictions": []})


def test_many_photos_are_one_request(ask: Ask, expected: np.ndarray) -> None:
    status, answer = ask({"inputs": {"image": TEXTS * 100}})
    assert status == 200
    found = np.array([list(row.values()) for row in answer["predictions"]])
    np.testing.assert_allclose(found, np.tile(expected, (100, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("error", "status", "code", "sentence"),
    [
        (MemoryError(), 503, "TEMPORARILY_UNAVAILABLE", "too little memory left"),
        (RuntimeError("CUDA out of memory"), 503, "TEMPORARILY_UNAVAILABLE", "too little memory"),
        (RuntimeError("/srv/secret.py is odd"), 500, "INTERNAL_ERROR", "see the server's log"),
        (KeyError("x"), 500, "INTERNAL_ERROR", "see the server's log"),
    ],
)
def test_a_failure_of_the_server_is_not_the_clients(
    error: Exception,
    status: int,
    code: str,
    sentence: str,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(models, "predict_member", fail)
    found, answer = ask({"inputs": TEXTS})
    assert (found, answer["error_code"]) == (status, code)
    assert sentence in answer["message"] and "secret" not in json.dumps(answer)


def test_who_predicts_in_a_program_gets_the_same_sentence(model: PyFuncModel) -> None:
    for kind in (MlflowException, DataError):
        with pytest.raises(kind, match=r"^image 0: neither base64 text nor bytes"):
            model.predict({"image": "no photo!"})

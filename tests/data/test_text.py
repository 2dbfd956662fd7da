"""Text of unknown encoding."""

import pytest

from carvision.data.text import decoded, looks_korean
from carvision.errors import DataError


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", ""),
        (b"ID,K5", "ID,K5"),
        ("ID,쏘렌토".encode(), "ID,쏘렌토"),
        ("ID,쏘렌토".encode("utf-8-sig"), "ID,쏘렌토"),
        ("ID,쏘렌토".encode("cp949"), "ID,쏘렌토"),
        ("ID,쏘렌토".encode("utf-16"), "ID,쏘렌토"),
        ("Citroën".encode(), "Citroën"),
    ],
)
def test_decoded(raw: bytes, expected: str) -> None:
    assert decoded(raw, "a.csv") == expected


@pytest.mark.parametrize(
    "raw", ["Citroën".encode("cp437"), "Ärger".encode("cp1252"), b"\xff", b"\xff\xfe\0"]
)
def test_other_encodings_name_the_file(raw: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.csv cannot be read.*save it as UTF-8"):
        decoded(raw, "a.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("쏘렌토", True),
        ("㈜쌍용 現代", True),
        ("뎝쏘렌토", True),
        ("Citro뎝", False),
        ("K5", False),
    ],
)
def test_looks_korean(text: str, expected: bool) -> None:
    assert looks_korean(text) is expected

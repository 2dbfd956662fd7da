"""Names of any bytes become text that parquet, JSON and a terminal take, and lead back to disk."""

import os
import unicodedata

import pytest

from carvision.data.names import path_on_disk, portable_path, printable, text_of


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"K5", "K5"),
        ("라브4".encode(), "라브4"),
        (unicodedata.normalize("NFD", "라브4").encode(), "라브4"),
        ("라브4".encode("cp949"), "라브4"),
        ("K5_하이브리드 (2020)".encode("euc_kr"), "K5_하이브리드 (2020)"),
        # Syllables that cp949 adds to EUC-KR, beside one that both have.
        ("펲시".encode("cp949"), "펲시"),
        ("Citroën".encode(), "Citroën"),
        ("Citroën".encode("latin-1"), None),
        ("Citroën".encode("cp437"), None),
        ("Škoda".encode("cp1250"), None),
        (b"\xff\xfe", None),
    ],
)
def test_text(raw, text):
    assert text_of(os.fsdecode(raw)) == text


@pytest.mark.parametrize(
    "raw",
    [
        b"train/K5/1.jpg",
        "train/라브4/1.jpg".encode(),
        "train/라브4/1.jpg".encode("cp949"),
        b"train/\xff%41/caf\xe9 #?.jpg",
        b"train/%B6/1.jpg",
        b"a\nb\t\"'/ 1.jpg ",
    ],
)
def test_paths_lead_back(raw):
    path = os.fsdecode(raw)
    portable = portable_path(path)
    portable.encode("utf-8")
    assert path_on_disk(portable) == path
    assert (portable == path) == (not any("\udc80" <= c <= "\udcff" for c in path))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"caf\xe9", r"caf\xe9"),
        (b"a\nb\tc\x1b[31m", r"a\nb\tc\x1b[31m"),
        ("라브4 é".encode(), "라브4 é"),
        ("a\u202eb".encode(), r"a\u202eb"),
    ],
)
def test_printable(raw, shown):
    assert printable(os.fsdecode(raw)) == shown

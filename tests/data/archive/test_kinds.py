"""Files that are no zip, whatever they are called."""

import gzip
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from carvision.data.archive.kinds import archive_kind, why_no_zip


def _tar(path: Path) -> None:
    with tarfile.open(path, "w") as written:
        written.addfile(tarfile.TarInfo("a"))


def _cut_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as written:
        written.writestr("a.jpg", b"1" * 1000)
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (gzip.compress(b"x"), "a gzip archive", "unpack it by hand"),
        (_tar, "a tar archive", "unpack it by hand"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive", "unpack it by hand"),
        (b"Rar!\x1a\x07\1\0", "a RAR archive", "unpack it by hand"),
        (_cut_zip, "a zip", "cut short.*download it again"),
        (b"<!DOCTYPE html><html>", None, "a web page"),
        (b"\xef\xbb\xbf\r\n <html>", None, "a web page"),
        (b"", None, "it is empty: download it again"),
        (b"ID,img_path\n", None, "it is no zip"),
    ],
)
def test_kinds(
    content: bytes | Callable[[Path], None], kind: str | None, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "open.zip"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    found = archive_kind(path)
    assert found is None if kind is None else found is not None and found.startswith(kind)
    assert re.search(reason, why_no_zip(path))

"""The table of contents of a zip: what may be unpacked, and what is refused with its name."""

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from carvision.data.archive.entries import checked_entries
from carvision.errors import DataError
from tests.data.archive.zips import unpacked, write_zip


def _paths(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as content:
        return [str(entry.path) for entry in checked_entries(path, content)]


def _special(mode: int, name: str = "train/K5/1.jpg") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as written:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (mode | 0o666) << 16
            written.writestr(info, b"target")

    return write


def _patched(offset: int, value: int, kind: str = "<H") -> Callable[[Path], None]:
    """A zip of one photo, with a field of its central directory replaced."""

    def write(path: Path) -> None:
        write_zip(path, {"train/K5/1.jpg": b"1" * 100})
        content = bytearray(path.read_bytes())
        struct.pack_into(kind, content, content.index(b"PK\1\2") + offset, value)
        path.write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("./a.jpg", ["a.jpg"]),
        ("a/./b.jpg", ["a/b.jpg"]),
        ("a//b.jpg", ["a/b.jpg"]),
        ("././/a//./b.jpg", ["a/b.jpg"]),
        ("train\\K5\\1.jpg", ["train/K5/1.jpg"]),
        ("train/K5 /1 .jpg", ["train/K5 /1 .jpg"]),
        ("train/K5./1.jpg", ["train/K5./1.jpg"]),
        ("train/a:b/1:2.jpg", ["train/a:b/1:2.jpg"]),
        ("train/.K5/1.jpg", ["train/.K5/1.jpg"]),
        ("train/" + "차" * 85 + "/1.jpg", ["train/" + "차" * 85 + "/1.jpg"]),
        ("train/" + "x" * 250 + ".jpg", ["train/" + "x" * 250 + ".jpg"]),
        ("train/K5/\n\t.jpg", ["train/K5/\n\t.jpg"]),
        # No files.
        ("./", []),
        (".", []),
        ("/", []),
        ("//", []),
        ("././", []),
        ("\\", []),
        ("train/", []),
        ("__MACOSX/train/._1.jpg", []),
        ("train/K5/._1.jpg", []),
        ("train/.DS_Store", []),
    ],
)
def test_paths(name: str, expected: list[str], tmp_path: Path) -> None:
    content = b"x" if expected else b""
    path = write_zip(tmp_path / "a.zip", {name: content, "train/K5/other.jpg": b"1"})
    assert sorted(_paths(path)) == sorted([*expected, "train/K5/other.jpg"])
    folder = unpacked(path, tmp_path / "work")
    assert len([file for file in folder.rglob("*") if file.is_file()]) == 1 + len(expected)


def test_an_empty_name(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {b"": b"", "train/K5/1.jpg": b"1"})
    assert _paths(path) == ["train/K5/1.jpg"]
    with pytest.raises(DataError, match="an entry of 3 bytes has no name"):
        _paths(write_zip(tmp_path / "b.zip", {b"": b"abc", "train/K5/1.jpg": b"1"}))


def test_names_that_differ_in_case_alone_are_two_files(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"K5/1.jpg": b"1", "K5/1.JPG": b"2"})
    assert _paths(path) == ["K5/1.jpg", "K5/1.JPG"]


@pytest.mark.parametrize("system", [0, 3])
def test_a_folder_without_a_slash_is_no_file(system: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as written:
        info = zipfile.ZipInfo("train")
        info.create_system = system
        info.external_attr = 0x10 if system == 0 else (stat.S_IFDIR | 0o755) << 16
        written.writestr(info, b"")
        written.writestr("train/K5/1.jpg", b"1")
    assert _paths(tmp_path / "a.zip") == ["train/K5/1.jpg"]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        ({"a/" * 1500 + "1.jpg": b"1"}, "1501 folders deep, and at most 50"),
        ({"a/" * 60 + "1.jpg": b"1"}, "61 folders deep"),
        ({"train/" + "x" * 256 + ".jpg": b"1"}, r"'train/xxx.* a name too long"),
        ({"train/" + "차" * 90 + ".jpg": b"1"}, r"'train/차차.* a name too long"),
        ({("y" * 200 + "/") * 15 + "1.jpg": b"1"}, r"'yyy.* a name too long"),
        ({"a": b"1", "a/b.jpg": b"2"}, "'a' is a file and a folder at once"),
        ({"a/b/c/1.jpg": b"1", "a/b": b"2"}, "'a/b' is a file and a folder at once"),
        ({"가.jpg": b"1", "\u1100\u1161.jpg": b"2"}, "two entries are called '가.jpg'"),
        ({"a//1.jpg": b"1", "a/1.jpg": b"2"}, "two entries are called 'a/1.jpg'"),
        ({"C:\\photos\\1.jpg": b"1"}, "would leave the target folder"),
        ({"\\\\server\\share\\1.jpg": b"1"}, "would leave the target folder"),
        ({"a\\..\\..\\1.jpg": b"1"}, "would leave the target folder"),
        ({b"a.jpg\0.txt": b"1"}, "would leave the target folder"),
        ({}, "holds no file"),
        ({"train/": b"", "train/.DS_Store": b"1"}, "holds no file"),
        (_special(stat.S_IFLNK), r"'train/K5/1.jpg' is a link; pack the file"),
        (_special(stat.S_IFIFO), "is a device or a pipe"),
        (_special(stat.S_IFCHR), "is a device or a pipe"),
        (_special(stat.S_IFSOCK), "is a device or a pipe"),
        (_patched(8, 1), r"'train/K5/1.jpg' is encrypted: unpack the archive by hand"),
        (_patched(10, 9), "compressed by Deflate64, which is not read here"),
        (_patched(10, 93), "compressed by Zstandard"),
        (_patched(10, 77), "compressed by method 77"),
        (_patched(34, 1), "one part of an archive in several parts"),
        (_patched(42, 10**6, "<L"), "outside of the archive"),
        (_patched(20, 10**6, "<L"), "outside of the archive"),
        (_patched(24, 101, "<L"), "unpacks to 100 bytes instead of 101|cannot be unpacked"),
        (_patched(24, 99, "<L"), "cannot be unpacked"),
        (_patched(16, 0, "<L"), "cannot be unpacked"),
    ],
)
def test_refused(
    write: dict[str | bytes, bytes] | Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.zip"
    if isinstance(write, dict):
        write_zip(path, write)
    else:
        write(path)
    with pytest.raises(DataError, match=message) as caught:
        unpacked(path, tmp_path / "work")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_template_of_zeros_is_no_bomb(method: int, tmp_path: Path) -> None:
    template = b"ID" + b",class" * 1000 + b"\n" + (b"TEST_00000" + b",0.0" * 1000 + b"\n") * 250
    path = tmp_path / "open.zip"
    with zipfile.ZipFile(path, "w", method) as written:
        written.writestr("sample_submission.csv", template)
        written.writestr("train/K5/grey.bmp", bytes(10**5))
    assert len(template) > 300 * path.stat().st_size
    assert (unpacked(path, tmp_path / "work") / "sample_submission.csv").read_bytes() == template


def _photo_bombs(path: Path) -> None:
    """None is large, and together they are 500 times the archive."""
    write_zip(path, {f"train/K5/{i}.jpg": bytes(150_000) for i in range(50)})


def _table_bombs(path: Path) -> None:
    """Tables of 3 GiB, as their table of contents tells."""
    write_zip(path, {f"{i}.csv": b"0" * 1000 for i in range(3)})
    content = bytearray(path.read_bytes())
    at = -1
    for _ in range(3):
        at = content.index(b"PK\1\2", at + 1)
        struct.pack_into("<L", content, at + 24, 2**30)
    path.write_bytes(content)


def _overlapping(gap: int) -> Callable[[Path], None]:
    """Entries whose headers lie ``gap`` bytes apart, all of them before one block of data.

    With ``gap=0`` all share one header. Otherwise each header's extra field spans those that
    follow (https://www.bamsoftware.com/hacks/zipbomb/).
    """

    def write(path: Path) -> None:
        write_zip(path, {"0000.csv": b"0" * 10**6})
        content = path.read_bytes()
        start = content.index(b"PK\1\2")
        local, central = content[:start], content[start : content.index(b"PK\5\6")]
        header, data = local[:38], local[38:]
        headers, directory = b"", b""
        for i in range(100):
            name = b"%04d.csv" % (i if gap else 0)
            entry = bytearray(header[:30] + name)
            struct.pack_into("<H", entry, 28, (99 - i) * 38)
            record = bytearray(central)
            struct.pack_into("<L", record, 42, i * gap)
            record[46:54] = name
            headers += bytes(entry) if gap or not i else b""
            directory += bytes(record)
        body = headers + data
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 100, 100, len(directory), len(body), 0)
        path.write_bytes(body + directory + end)

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_photo_bombs, "grows more than 200 times"),
        (_table_bombs, "would unpack to 3,221,225,472; no archive of photos grows more"),
        (_overlapping(0), "share bytes"),
        (_overlapping(38), "share bytes"),
    ],
)
def test_archives_that_grow_too_much(
    write: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.zip"
    write(path)
    with pytest.raises(DataError, match=message):
        unpacked(path, tmp_path / "work")
    assert not (tmp_path / "work").exists()

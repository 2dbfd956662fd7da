"""Archives: read right when they are sound, refused when they are not."""

import stat
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from carvision.data import archive
from carvision.data.archive import unpacked, unpacked_size
from carvision.errors import DataError


def _zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in entries.items():
            written.writestr(name, content)
    return path


def _files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_content_and_progress(tmp_path: Path) -> None:
    content = {"train/a/1.jpg": b"one", "train/b/2.jpg": b"three", "test.csv": b"ID"}
    path = _zip(tmp_path / "open.zip", content)
    done: list[int] = []
    assert unpacked_size(path, tmp_path / "work") == 10
    folder = unpacked(path, tmp_path / "work", done.append)
    assert _files(folder) == content
    assert sum(done) == 10
    assert unpacked_size(path, tmp_path / "work") == 0
    assert unpacked(path, tmp_path / "work") == folder


def test_a_changed_archive_is_unpacked_anew(tmp_path: Path) -> None:
    first = unpacked(_zip(tmp_path / "a.zip", {"train/a/1.jpg": b"1"}), tmp_path / "work")
    second = unpacked(_zip(tmp_path / "a.zip", {"train/a/1.jpg": b"22"}), tmp_path / "work")
    assert first != second
    assert _files(second) == {"train/a/1.jpg": b"22"}


def test_a_wrapping_folder_and_macos_extras_are_left_out(tmp_path: Path) -> None:
    entries = {"open/train/a/1.jpg": b"1", "__MACOSX/open/._1.jpg": b"x", "open/.DS_Store": b"x"}
    assert _files(unpacked(_zip(tmp_path / "a.zip", entries), tmp_path / "work")) == {
        "train/a/1.jpg": b"1"
    }


@pytest.mark.parametrize(
    "name",
    ["K5_하이브리드/1.jpg", unicodedata.normalize("NFD", "K5_하이브리드/1.jpg")],
)
def test_unicode_names_become_nfc(name: str, tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {f"train/{name}": b"1"})
    assert list(_files(unpacked(path, tmp_path / "work"))) == ["train/K5_하이브리드/1.jpg"]


def test_cp949_names_without_a_flag(tmp_path: Path) -> None:
    # Placeholders of the same length in bytes, replaced in the finished file.
    korean = "디_올_뉴".encode("cp949")
    path = _zip(tmp_path / "a.zip", {f"train/{'x' * len(korean)}/1.jpg": b"1"})
    path.write_bytes(path.read_bytes().replace(b"x" * len(korean), korean))
    assert list(_files(unpacked(path, tmp_path / "work"))) == ["train/디_올_뉴/1.jpg"]


def _link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as written:
        info = zipfile.ZipInfo("train/a/1.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        written.writestr(info, "/etc/passwd")


def _twice(path: Path) -> None:
    _zip(path, {"train/a/1.jpg": b"1", "train/a/2.jpg": b"2"})
    path.write_bytes(path.read_bytes().replace(b"2.jpg", b"1.jpg"))


def _damaged(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as written:
        written.writestr("train/a/1.jpg", b"content")
    path.write_bytes(path.read_bytes().replace(b"content", b"CONTENT"))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("no zip"), "cannot be read as a zip"),
        (lambda path: _zip(path, {"../out.jpg": b"1"}), "would leave the target folder"),
        (lambda path: _zip(path, {"a/../../out.jpg": b"1"}), "would leave the target folder"),
        (lambda path: _zip(path, {"..\\out.jpg": b"1"}), "would leave the target folder"),
        (lambda path: _zip(path, {"/tmp/out.jpg": b"1"}), "would leave the target folder"),
        (lambda path: _zip(path, {"C:/out.jpg": b"1"}), "would leave the target folder"),
        (lambda path: _zip(path, {"a/bomb.jpg": bytes(2**22)}), "no photo does"),
        (_link, "is a link"),
        (_twice, "two entries are called"),
        (_damaged, "cannot be unpacked"),
    ],
)
def test_refused_and_nothing_is_left(
    write: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.zip"
    write(path)
    with pytest.raises(DataError, match=message):
        unpacked(path, tmp_path / "work")
    assert _files(tmp_path).keys() == {"bad.zip"}


def test_a_total_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LARGEST_TOTAL", 5)
    path = _zip(tmp_path / "a.zip", {"a/1.jpg": b"123", "a/2.jpg": b"456"})
    with pytest.raises(DataError, match="unpacks to more than"):
        unpacked(path, tmp_path / "work")

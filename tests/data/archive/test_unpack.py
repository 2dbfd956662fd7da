"""Archives: read right when they are sound, refused when they are not."""

import hashlib
import os
import shutil
import stat
import unicodedata
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from carvision.data.archive import unpack
from carvision.data.archive.unpack import Unpacking
from carvision.errors import DataError
from tests.data.archive.zips import unpacked


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
    unpacking = Unpacking.of(path, tmp_path / "work")
    assert unpacking.size == 10
    folder = unpacking.run(done.append)
    assert _files(folder) == content
    assert sum(done) == 10
    assert Unpacking.of(path, tmp_path / "work").size == 0
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
    monkeypatch.setattr(unpack, "LARGEST_TOTAL", 5)
    path = _zip(tmp_path / "a.zip", {"a/1.jpg": b"123", "a/2.jpg": b"456"})
    with pytest.raises(DataError, match="unpacks to more than"):
        unpacked(path, tmp_path / "work")


@pytest.mark.parametrize("how", ["touched", "moved", "renamed", "copied"])
def test_the_same_archive_is_not_unpacked_again(how: str, tmp_path: Path) -> None:
    path = _zip(tmp_path / "open.zip", {"train/a/1.jpg": b"1"})
    folder = unpacked(path, tmp_path / "work")
    if how == "touched":
        os.utime(path, (1, 1))
    elif how == "copied":
        path = Path(shutil.copy(path, tmp_path / "copy.zip"))
    else:
        other = tmp_path / ("renamed.zip" if how == "renamed" else "elsewhere/open.zip")
        other.parent.mkdir(exist_ok=True)
        path = path.rename(other)
    assert Unpacking.of(path, tmp_path / "work").size == 0
    assert unpacked(path, tmp_path / "work") == folder
    assert len(list((tmp_path / "work").iterdir())) == 1


@pytest.mark.parametrize("right", [True, False])
def test_what_earlier_versions_unpacked_is_found_where_it_is_right(
    right: bool, tmp_path: Path
) -> None:
    path = _zip(tmp_path / "open.zip", {"train/a/1.jpg": b"1"})
    status = path.stat()
    key = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    earlier = tmp_path / "work" / f"open-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    (earlier / "train" / ("a" if right else "Citro뎝")).mkdir(parents=True)
    assert (unpacked(path, tmp_path / "work") == earlier) is right


def test_what_an_earlier_archive_was_unpacked_to_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = tmp_path / "my work"
    (work / "open-notes").mkdir(parents=True)
    unpacked(_zip(tmp_path / "other.zip", {"train/a/1.jpg": b"1"}), work)
    first = unpacked(_zip(tmp_path / "open.zip", {"train/a/1.jpg": b"1" * 10}), work)
    assert not caplog.records
    unpacked(_zip(tmp_path / "open.zip", {"train/a/1.jpg": b"2" * 10}), work)
    (message,) = caplog.messages
    assert message.startswith(f"an earlier archive called open.zip was unpacked to {first} (0.0 GB")
    assert message.endswith(f"rm -r '{first}'")
    assert first.exists()


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / ".open-0123456789ab.x3_9dkq1"
    kept = [tmp_path / ".mine", tmp_path / "open-0123456789ab", tmp_path / ".open-notes.abcdefgh"]
    for folder in (left, *kept):
        (folder / "train").mkdir(parents=True)
    unpacked(_zip(tmp_path / "a.zip", {"train/a/1.jpg": b"1"}), tmp_path)
    assert not left.exists() and all(folder.exists() for folder in kept)


@pytest.mark.parametrize("stem", ["x" * 240, "차" * 80, ".hidden", "a b [1] $(c)", "줄\n바꿈"])
def test_any_name_of_an_archive(stem: str, tmp_path: Path) -> None:
    path = _zip(tmp_path / f"{stem}.zip", {"train/a/1.jpg": b"1"})
    folder = unpacked(path, tmp_path / "work")
    assert _files(folder) == {"train/a/1.jpg": b"1"}
    assert not folder.name.startswith(".") and folder.name.isprintable()
    assert unpacked(path, tmp_path / "work") == folder


def test_archives_in_an_archive_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entries = {"train.zip": b"PK", "more/test.7z": b"7z", "1.jpg": b"1"}
    assert _files(unpacked(_zip(tmp_path / "a.zip", entries), tmp_path / "work")) == entries
    (message,) = caplog.messages
    assert "holds archives, which are not unpacked: train.zip, more/test.7z" in message


def test_before_and_after_an_archive_there_may_be_something(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"train/a/1.jpg": b"1"})
    path.write_bytes(b"#!/bin/sh\necho unpacking" + path.read_bytes())
    with zipfile.ZipFile(path, "a") as written:
        written.comment = b"made by us"
    assert _files(unpacked(path, tmp_path / "work")) == {"train/a/1.jpg": b"1"}


def test_a_failure_to_show_progress_is_not_blamed_on_the_archive(tmp_path: Path) -> None:
    def fail(done: int) -> None:
        raise BrokenPipeError

    path = _zip(tmp_path / "a.zip", {"train/a/1.jpg": b"1"})
    with pytest.raises(BrokenPipeError):
        Unpacking.of(path, tmp_path / "work").run(fail)
    assert _files(tmp_path).keys() == {"a.zip"}


def test_an_archive_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3))
    path = _zip(tmp_path / "a.zip", {"train/a/1.jpg": b"1234"})
    with pytest.raises(DataError, match=r"more than the 0\.0 GiB that are free below"):
        unpacked(path, tmp_path / "work")


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", METHODS)
def test_damaged_bytes_are_an_error_that_names_the_archive(method: int, tmp_path: Path) -> None:
    path, work = tmp_path / "a.zip", tmp_path / "work"
    with zipfile.ZipFile(path, "w", method) as written:
        for name in ("train/a/1.jpg", "train/차/2.jpg"):
            written.writestr(name, f"{name} is a photo".encode() * 3)
    sound = path.read_bytes()
    random = Random(method)
    refused = 0
    for _ in range(150):
        damaged = bytearray(sound)
        for _ in range(random.choice([1, 1, 3])):
            damaged[random.randrange(len(sound))] = random.randrange(256)
        path.write_bytes(damaged[: random.choice([len(sound), random.randrange(len(sound))])])
        try:
            unpacked(path, work)
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
        shutil.rmtree(work, ignore_errors=True)
    assert refused > 75
    assert _files(tmp_path).keys() == {"a.zip"}

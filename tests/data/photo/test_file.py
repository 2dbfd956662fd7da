"""Only regular files are read, and every error of a photo library names the photo."""

import os
import socket
import struct
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from carvision.data.folder.layout import Layout
from carvision.data.photo.decode import decode, thumbnail
from carvision.data.photo.file import read_photo, reason_of
from carvision.data.preparation.scan import scan_photos
from carvision.errors import DataError


def _pipe(path):
    os.mkfifo(path)


def _socket(path):
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(os.path.relpath(path))  # its name may have 108 bytes


def _device(path):
    path.symlink_to("/dev/zero")


def _link_to_a_pipe(path):
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


def _link_to_itself(path):
    path.symlink_to(path)


@pytest.mark.parametrize("make", [_pipe, _socket, _device, _link_to_a_pipe, _link_to_itself])
def test_what_is_no_regular_file_is_left_out(tmp_path, make):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "x.jpg"
    make(path)
    (photo,) = Layout.at(tmp_path).training_photos()
    (reason,) = scan_photos(tmp_path, [photo])["excluded"]
    assert reason.startswith("unreadable: OSError: ")
    for read in (lambda: decode(path, 8), lambda: thumbnail(path, 8)):
        with pytest.raises(DataError, match=r"x\.jpg cannot be read: OSError"):
            read()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OSError, match="no regular file"):
        read_photo(tmp_path)
    # The next file gets the lowest number that is free: none is left open.
    first = os.open(tmp_path, os.O_RDONLY)
    os.close(first)
    with pytest.raises(OSError, match="no regular file"):
        read_photo(tmp_path)
    second = os.open(tmp_path, os.O_RDONLY)
    os.close(second)
    assert first == second


@pytest.mark.parametrize(
    "error",
    [
        struct.error("unpack requires a buffer"),
        TypeError("'tuple' is no integer"),
        RuntimeError("Invalid image grid"),
        NotImplementedError("Unimplemented pixel format"),
        MemoryError(),
        OverflowError("too large"),
        zlib.error("Error -3"),
        ZeroDivisionError("division by zero"),
        IndexError("index out of range"),
        KeyError("mode"),
        AttributeError("no attribute"),
        RecursionError("maximum recursion depth"),
        EOFError(),
        AssertionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        SyntaxError("broken PNG file"),
        Warning("a warning made an error"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("when", ["opened", "loaded"])
def test_every_error_names_the_photo(tmp_path, monkeypatch, error, when):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "x.jpg"
    Image.new("RGB", (8, 8)).save(path)
    photos = Layout.at(tmp_path).training_photos()

    def fail(*args, **options):
        raise error

    target = "PIL.Image.open" if when == "opened" else "PIL.ImageFile.ImageFile.load"
    monkeypatch.setattr(target, fail)
    (reason,) = scan_photos(tmp_path, photos)["excluded"]
    assert reason.startswith(f"unreadable: {type(error).__name__}")
    for read in (lambda: decode(path, 8), lambda: thumbnail(path, 8)):
        with pytest.raises(DataError, match=rf"a/x\.jpg cannot be read: {type(error).__name__}"):
            read()


def test_an_interruption_is_no_error_of_the_photo(tmp_path, monkeypatch):
    path = tmp_path / "x.jpg"
    Image.new("RGB", (8, 8)).save(path)

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("PIL.Image.open", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode(path, 8)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "/secret/x"), "FileNotFoundError: No "),
        (ValueError("a\nb\udcb6"), r"ValueError: a\nb\xb6"),
        (ValueError("x" * 5000), "ValueError: xxx"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_reasons_are_short_and_of_no_place(error, reason):
    found = reason_of(error)
    assert found.startswith(reason)
    assert len(found) <= 200
    assert "/secret" not in found
    found.encode("utf-8")


def test_names_that_are_not_utf8_are_shown_by_their_bytes(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.jpg"))
    with pytest.raises(DataError, match=r"caf\\xe9\\n\.jpg cannot be read: FileNotFoundError"):
        decode(path, 8)

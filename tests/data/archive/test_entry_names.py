"""Names of entries: one encoding for an archive, whatever program wrote it."""

import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest

from carvision.data.archive.entry_names import entry_names
from tests.data.archive.zips import RawName, write_zip


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as content:
        return entry_names(content)


def _classes(path: Path) -> set[str]:
    return {name.split("/")[1] for name in _names(path) if name.startswith("train/")}


def _archive(path: Path, names: list[str], encoding: str, **lists: bytes) -> Path:
    entries: dict[str | bytes, bytes] = {
        b"train/" + name.encode(encoding) + b"/1.jpg": b"1" for name in names
    }
    files = {f"{name}.csv": content for name, content in lists.items()}
    return write_zip(path, {**entries, b"train/K5/1.jpg": b"1", **files})


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (["Citroën"], "cp437"),
        (["Citroën", "Mégane", "Español"], "cp850"),
        (["Óscar", "São_Paulo"], "cp850"),
        (["Škoda", "Citroën"], "cp852"),
        (["쏘렌토_4세대_2020", "디_올_뉴_니로"], "cp949"),
        (["그랜저"], "euc_kr"),
        # Most of these syllables are rare ones.
        (["펲시_똠", "쏘렌토_하이브리드"], "cp949"),
        (["㈜쌍용", "現代"], "cp949"),
        (["쏘렌토", "Citroën", "トヨタ"], "utf-8"),
    ],
)
def test_names_that_do_not_say_their_encoding(
    names: list[str], encoding: str, tmp_path: Path
) -> None:
    assert _classes(_archive(tmp_path / "a.zip", names, encoding)) == {*names, "K5"}


@pytest.mark.parametrize(
    ("name", "encoding", "columns"),
    [
        # The same bytes; nothing but the columns tells one from the other.
        ("Citro뎝", "cp949", "ID,Citro뎝,K5"),
        ("Citroën", "cp437", "ID,K5,Citroën"),
        ("Ärger", "cp1252", "ID,Ärger"),
        ("Škoda", "cp852", 'ID,"Škoda","A,B"'),
        ("쏘렌토", "cp949", "ID,쏘렌토"),
        # Columns of no class decide nothing.
        ("Citroën", "cp437", "ID,Peugeot,現代"),
        ("쏘렌토", "cp949", "ID,Peugeot,Ärger"),
    ],
)
def test_the_template_settles_the_encoding(
    name: str, encoding: str, columns: str, tmp_path: Path
) -> None:
    for form in ("NFC", "NFD"):
        template = unicodedata.normalize(form, f"{columns}\n1,0.0\n").encode("utf-8-sig")
        path = _archive(tmp_path / f"{form}.zip", [name], encoding, sample_submission=template)
        assert _classes(path) == {name, "K5"}


def test_the_list_of_test_photos_settles_it_too(tmp_path: Path) -> None:
    for name, encoding in (("Citro뎝", "cp949"), ("Citroën", "cp437")):
        listed = f"ID,img_path\n1,./test/{name}/1.jpg\n".encode()
        path = write_zip(
            tmp_path / f"{encoding}.zip",
            {b"test/" + name.encode(encoding) + b"/1.jpg": b"1", "open/TEST.csv": listed},
        )
        assert f"test/{name}/1.jpg" in _names(path)


@pytest.mark.parametrize("damaged", [b"\xff\xfe\xff", b"", b'"' + b"x" * 200_000, b"\0\n\0"])
def test_lists_that_cannot_be_read_settle_nothing(damaged: bytes, tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.zip", ["Citroën"], "cp437", sample_submission=damaged)
    assert _classes(path) == {"Citroën", "K5"}


def test_entries_with_and_without_a_flag_in_one_archive(tmp_path: Path) -> None:
    entries: dict[str | bytes, bytes] = {
        "train/Škoda/1.jpg": b"1",
        b"train/" + "Citroën".encode("cp437") + b"/1.jpg": b"1",
    }
    assert _classes(write_zip(tmp_path / "a.zip", entries)) == {"Škoda", "Citroën"}
    # An archive to which another program added: its own UTF-8 is no cp949.
    entries = {b"train/" + "쏘렌토".encode(code) + b"/1.jpg": b"1" for code in ("utf-8", "cp949")}
    assert _classes(write_zip(tmp_path / "b.zip", entries)) == {"쏘렌토"}


@pytest.mark.parametrize(
    ("crc_of", "expected"), [("same", "디_올"), ("other", "xx_yy"), ("cut", "xx_yy")]
)
def test_the_unicode_path_field_wins_where_it_belongs_to_the_name(
    crc_of: str, expected: str, tmp_path: Path
) -> None:
    raw = b"train/xx_yy/1.jpg"
    crc = zlib.crc32(raw if crc_of == "same" else b"renamed since")
    field = b"\1" + struct.pack("<L", crc) + "train/디_올/1.jpg".encode()
    info = RawName(raw)
    size = 3 if crc_of == "cut" else len(field)
    info.extra = struct.pack("<HHHH", 0xCAFE, 0, 0x7075, size) + field[:size]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as written:
        written.writestr(info, b"1")
    assert _classes(tmp_path / "a.zip") == {expected}


def test_backslashes_and_unicode_forms(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "쏘렌토")
    path = write_zip(tmp_path / "a.zip", {f"train\\{decomposed}\\1.jpg": b"1"})
    assert _names(path) == ["train/쏘렌토/1.jpg"]


@pytest.mark.parametrize(
    ("encoding", "lists", "said"),
    [
        ("cp437", {}, "1 names in the archive do not say their encoding and are read as Citroën"),
        ("cp437", {"sample_submission": "ID,Citroën".encode()}, ""),
        ("utf-8", {}, ""),
    ],
)
def test_a_guess_is_said(
    encoding: str,
    lists: dict[str, bytes],
    said: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _names(_archive(tmp_path / "a.zip", ["Citroën"], encoding, **lists))
    assert said in caplog.text
    assert bool(caplog.messages) is bool(said)

"""Files and folders are replaced whole or not at all, and nothing temporary stays behind."""

import logging
import os
import stat

import pytest

from carvision.errors import CarvisionError, ConfigError
from carvision.files import (
    alone,
    check_writable,
    link_or_copy,
    plain_name,
    read_json,
    replacing,
    replacing_folder,
    replacing_output,
    write_json,
)
from tests.hostile_names import HOSTILE


def _everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_replacing_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "table.csv"
    for content in ("first", "second"):
        with replacing(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.suffix == ".csv"
            temporary.write_text(content)
        assert path.read_text() == content
    assert _everything(tmp_path) == ["new", "new/table.csv"]


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path, before, error):
    path = tmp_path / "table.csv"
    if before is not None:
        path.write_text(before)
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of")
        raise error
    assert _everything(tmp_path) == ([] if before is None else ["table.csv"])
    assert before is None or path.read_text() == before


def test_the_old_file_stands_until_the_end(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"


def test_a_published_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    with replacing(tmp_path / "published") as temporary:
        temporary.write_text("")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "published")]
    assert modes[0] == modes[1]


def test_replacing_folder_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder"
    with replacing_folder(path) as temporary:
        (temporary / "a").write_text("1")
        (temporary / "b").write_text("1")
    with replacing_folder(path) as temporary:
        assert _everything(temporary) == []
        (temporary / "b").write_text("2")
    assert _everything(tmp_path) == ["new", "new/folder", "new/folder/b"]
    assert (path / "b").read_text() == "2"


def test_a_published_folder_has_the_rights_of_any_new_folder(tmp_path):
    (tmp_path / "plain").mkdir()
    with replacing_folder(tmp_path / "published"):
        pass
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "published")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("existed", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_folder(tmp_path, existed, error):
    path = tmp_path / "folder"
    if existed:
        path.mkdir()
        (path / "old").write_text("old")
    with pytest.raises(error), replacing_folder(path) as temporary:
        (temporary / "new").write_text("half of")
        raise error
    assert _everything(tmp_path) == (["folder", "folder/old"] if existed else [])


def test_json_keeps_korean_readable(tmp_path):
    path = tmp_path / "classes.json"
    value = {"이름": ["라브4", 1, None]}
    write_json(path, value)
    assert read_json(path) == value
    assert "라브4" in path.read_text(encoding="utf-8")


def test_json_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, 1)
    with pytest.raises(TypeError):
        write_json(path, object())
    assert read_json(path) == 1
    assert _everything(tmp_path) == ["value.json"]


def test_alone(tmp_path):
    lock = tmp_path / "locks" / "fold1"
    with (
        alone(lock, "fold 1"),
        pytest.raises(CarvisionError, match="another process is busy with fold 1"),
        alone(lock, "fold 1"),
    ):
        pass
    with alone(lock, "fold 1"):
        pass


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        plain_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "efficientnet_lite0",
        "swin_large@384",
        "vit_base.v2-b+c",
        "carvision-convnext_large",
        "0123456789abcdef",
        "기본_모델",
        "d",
        "라브4",
        "a.b",
        "x" * 200,
    ],
)
def test_plain_words_are_names(name: str) -> None:
    assert plain_name(name) == name


def test_a_linked_file_takes_no_room_and_outlives_its_first_name(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"weights")
    link_or_copy(source, target)
    assert target.stat().st_ino == source.stat().st_ino
    source.unlink()
    assert target.read_bytes() == b"weights"


def test_without_hard_links_it_is_a_copy(tmp_path, monkeypatch):
    def refused(source, target):
        raise OSError("Operation not permitted")

    monkeypatch.setattr("carvision.files.os.link", refused)
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"weights")
    link_or_copy(source, target)
    assert target.read_bytes() == b"weights"
    assert target.stat().st_ino != source.stat().st_ino


def test_behind_a_symbolic_link_the_content_is_linked(tmp_path):
    source, link, target = tmp_path / "a", tmp_path / "link", tmp_path / "b"
    source.write_bytes(b"weights")
    link.symlink_to(source.name)
    link_or_copy(link, target)
    assert not target.is_symlink()
    assert target.stat().st_ino == source.stat().st_ino


def _write_output(path, content):
    with replacing_output(path) as temporary:
        temporary.write_text(content)


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_an_earlier_output_is_never_lost(tmp_path, links, monkeypatch, caplog):
    def refused(source, target):
        raise PermissionError("this file system has no links")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "submission.csv"
    (tmp_path / "submission.csv.2").write_text("somebody's own")
    with caplog.at_level(logging.INFO, "carvision"):
        for content in ("first", "second", "third"):
            _write_output(path, content)
    found = {own.name: own.read_text() for own in tmp_path.iterdir()}
    assert found == {
        "submission.csv": "third",
        "submission.csv.1": "first",
        "submission.csv.2": "somebody's own",
        "submission.csv.3": "second",
    }
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and str(path) in said[0] and "submission.csv.1" in said[0]
    assert "submission.csv.3" in said[1]


def test_an_equal_output_is_not_kept_twice(tmp_path, caplog):
    path = tmp_path / "hpo.yaml"
    with caplog.at_level(logging.INFO, "carvision"):
        for _ in range(2):
            _write_output(path, "the same")
    assert (_everything(tmp_path), caplog.records) == (["hpo.yaml"], [])


def test_an_output_that_fails_moves_nothing(tmp_path):
    path = tmp_path / "bench.json"
    _write_output(path, "old")
    with pytest.raises(RuntimeError), replacing_output(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert {own.name: own.read_text() for own in tmp_path.iterdir()} == {"bench.json": "old"}


def test_looking_whether_an_output_can_be_written_touches_nothing(tmp_path):
    names = ["s.csv", ".s.csv.probe", ".s.csv", "s.csv.1"]
    for name in names:
        (tmp_path / name).write_text(name)
    before = {own.name: own.stat().st_mtime_ns for own in tmp_path.iterdir()}
    check_writable(tmp_path / "s.csv")
    check_writable(tmp_path / "new.csv")
    assert {own.name: own.stat().st_mtime_ns for own in tmp_path.iterdir()} == before


def _in_a_file(folder):
    (folder / "file").write_text("")
    return folder / "file" / "s.csv"


def _pipe(folder):
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda folder: folder, "is a folder"),
        (_pipe, "is not a regular file"),
        (_in_a_file, "cannot be written"),
        (lambda folder: folder / ("x" * 300), "cannot be written"),
    ],
)
def test_an_output_that_cannot_be_written(tmp_path, output, message):
    with pytest.raises(ConfigError, match=message):
        check_writable(output(tmp_path))

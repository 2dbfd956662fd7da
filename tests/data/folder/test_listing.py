"""Whatever lies below the data's folder is used, or counted and said."""

import os
from pathlib import Path

import pytest

from carvision.data.folder.findings import Finding
from carvision.data.folder.layout import Layout
from carvision.data.folder.listing import listing_digest
from carvision.errors import DataError


def _touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def _listing(root):
    layout = Layout.at(root)
    listing = layout.listing()
    layout.count_beside(listing.findings)
    return listing


def _said(root):
    return "\n".join(sentence.text for sentence in _listing(root).findings.sentences())


def _ids(root):
    return [photo.image_id for photo in _listing(root).photos]


@pytest.mark.parametrize(
    ("name", "finding", "shown"),
    [
        ("train/1.jpg", Finding.LOOSE, "train (1)"),
        ("train/.hidden/1.jpg", Finding.HIDDEN, "train/.hidden (1)"),
        ("train/a/.sub/1.jpg", Finding.HIDDEN, "train/a/.sub (1)"),
        ("train/a/.1.jpg", Finding.HIDDEN, "train/a/.1.jpg (1)"),
        ("valid/a/1.jpg", Finding.OTHER_SPLIT, "valid (1)"),
        ("VAL/1.jpg", Finding.OTHER_SPLIT, "VAL (1)"),
        ("extra/deep/1.jpg", Finding.BESIDE, "extra (1)"),
        ("1.jpg", Finding.BESIDE, "1.jpg (1)"),
        ("train/a/1.heic", Finding.SUFFIX, ".heic (1)"),
        ("train/LICENSE", Finding.SUFFIX, "LICENSE (1)"),
        ("notes.md", Finding.SUFFIX, ".md (1)"),
        ("train/a/._1.jpg", Finding.SYSTEM, "._* (1)"),
        ("train/a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", Finding.SYSTEM, "@eaDir (1)"),
        ("train/__MACOSX/a/._1.jpg", Finding.SYSTEM, "__MACOSX (1)"),
        (".git/index", Finding.SYSTEM, ".git (1)"),
        ("train/.ipynb_checkpoints/1.jpg", Finding.SYSTEM, ".ipynb_checkpoints (1)"),
        ("train/c/notes.txt", Finding.EMPTY, ": c"),
        ("train/a/sub/2.jpg", Finding.DEEPER, "train/a/sub (1)"),
    ],
)
def test_what_is_not_used_is_counted(tmp_path, name, finding, shown):
    _touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test.csv", name)
    listing = _listing(tmp_path)
    assert len(listing.findings.names(finding)) == 1
    (sentence,) = listing.findings.sentences(among=[finding])
    assert shown in sentence.text
    used = {photo.image_id for photo in listing.photos} - {"train/a/sub/2.jpg"}
    assert used == {"train/a/1.jpg", "train/b/1.jpg"}


def test_what_is_used_is_no_finding(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "answers.csv")
    _touch(tmp_path, "test.csv", "sample_submission.csv")
    assert _said(tmp_path) == ""


def test_plain_class_folders(tmp_path):
    _touch(tmp_path, "a/1.jpg", "b/1.jpg", "loose.jpg", "test/1.jpg", "test.csv", ".c/1.jpg")
    assert _ids(tmp_path) == ["a/1.jpg", "b/1.jpg"]
    said = _said(tmp_path)
    assert f"in no class folder: {tmp_path} (1)" in said
    assert ".c (1)" in said
    assert "test" not in said.replace(str(tmp_path), "")


def test_classes_that_may_be_one_level_deeper(tmp_path):
    _touch(tmp_path, "train/Kia/K5/1.jpg", "train/Kia/Niro/1.jpg", "train/Kia/Niro/2.jpg")
    _touch(tmp_path, "train/RAV4/1.jpg", "train/RAV4/x/2.jpg", "train/RAV4/y/3.jpg")
    said = _said(tmp_path)
    assert "if they are the classes): train/Kia (3)" in said
    assert "used as photos of the class folder: train/RAV4/x (1), train/RAV4/y (1)" in said


def test_many_names_are_cut_short(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", *(f"extra_{i:02d}/1.jpg" for i in range(15)))
    assert "extra_03 (1), extra_04 (1) and 10 more" in _said(tmp_path)


def test_links_are_followed(tmp_path):
    root = tmp_path / "data"
    _touch(root, "train/a/1.jpg", "train/b/1.jpg")
    _touch(tmp_path, "disk/2.jpg", "disk/deep/3.jpg", "class/4.jpg")
    (root / "train/a/more").symlink_to(tmp_path / "disk")
    (root / "train/c").symlink_to(tmp_path / "class")
    (root / "train/b/5.jpg").symlink_to(tmp_path / "class" / "4.jpg")
    assert _ids(root) == [
        "train/a/1.jpg",
        "train/a/more/2.jpg",
        "train/a/more/deep/3.jpg",
        "train/b/1.jpg",
        "train/b/5.jpg",
        "train/c/4.jpg",
    ]


@pytest.mark.parametrize("target", [".", "..", "../..", "/", "sub/.."])
def test_links_that_lead_back(tmp_path, target):
    _touch(tmp_path, "train/a/1.jpg", "train/a/sub/2.jpg", "train/b/1.jpg")
    (tmp_path / "train/a/loop").symlink_to(target)
    assert _ids(tmp_path) == ["train/a/1.jpg", "train/a/sub/2.jpg", "train/b/1.jpg"]
    assert "lead back to a folder above them: train/a/loop" in _said(tmp_path)


def test_a_folder_that_two_links_lead_to_counts_once(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/a/sub/2.jpg", "train/b/1.jpg")
    (tmp_path / "train/a/again").symlink_to("sub")
    assert _ids(tmp_path) == ["train/a/1.jpg", "train/a/sub/2.jpg", "train/b/1.jpg"]
    assert "listed already: train/a/again" in _said(tmp_path)


def test_links_that_multiply_end(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg")
    for i in range(30):
        folder = tmp_path / f"far/{i}"
        folder.mkdir(parents=True)
        for name in ("x", "y"):
            (folder / name).symlink_to(f"../{i + 1}")
    (tmp_path / "train/a/far").symlink_to(tmp_path / "far/0")
    assert _ids(tmp_path) == ["train/a/1.jpg", "train/b/1.jpg"]


@pytest.mark.parametrize("target", ["nowhere", "self"])
def test_dead_links(tmp_path, target):
    _touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg")
    (tmp_path / "train/self").symlink_to(target)
    assert "does not exist, or cannot be reached: train/self" in _said(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_folders_without_permission(tmp_path):
    _touch(tmp_path, "train/a/1.jpg", "train/a/sub/2.jpg", "train/b/1.jpg", "train/c/1.jpg")
    closed = [tmp_path / "train/a/sub", tmp_path / "train/c"]
    for folder in closed:
        folder.chmod(0)
    try:
        _check_closed(tmp_path)
    finally:
        for folder in closed:
            folder.chmod(0o755)


def test_folders_that_refuse(tmp_path, monkeypatch):
    _touch(tmp_path, "train/a/1.jpg", "train/a/sub/2.jpg", "train/b/1.jpg", "train/c/1.jpg")
    scandir, access = os.scandir, os.access
    closed = {str(tmp_path / "train/a/sub"), str(tmp_path / "train/c")}

    def refusing(path):
        if str(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setattr(os, "access", lambda path, mode: path not in closed and access(path, mode))
    _check_closed(tmp_path)


def _check_closed(root):
    assert _ids(root) == ["train/a/1.jpg", "train/b/1.jpg"]
    said = {sentence.text: sentence.is_warning for sentence in _listing(root).findings.sentences()}
    for start, end in {
        "class folders that cannot be read, so these classes": "): train/c",
        "folders that cannot be read, so their photos": "): train/a/sub",
    }.items():
        (text,) = (text for text in said if text.startswith(start))
        assert text.endswith(end)
        assert said[text]


@pytest.mark.parametrize(
    ("raw", "label"), [("라브4".encode("cp949"), "라브4"), ("펲시".encode("cp949"), "펲시")]
)
def test_a_class_folder_that_is_not_utf8(tmp_path, raw, label):
    root = os.fsencode(tmp_path)
    _touch(tmp_path, "train/a/1.jpg")
    _made(root + b"/train/" + raw)
    Path(os.fsdecode(root + b"/train/" + raw + b"/caf\xe9.jpg")).write_bytes(b"")
    layout = Layout.at(tmp_path)
    photo = layout.listing().photos[-1]
    assert photo.image_id == f"train/{label}/caf\\xe9.jpg"
    assert layout.labels_of([photo]) == [label]
    assert (tmp_path / photo.path).is_file()
    assert f"not UTF-8, read as Korean (cp949), or with their bytes shown: train/{label}" in _said(
        tmp_path
    )


@pytest.mark.parametrize("raw", [b"Citro\xebn", b"Citro\x89n", b"\xff\xfe"])
def test_a_class_folder_in_an_unknown_encoding(tmp_path, raw):
    root = os.fsencode(tmp_path)
    _touch(tmp_path, "train/a/1.jpg")
    _made(root + b"/train/" + raw)
    Layout.at(tmp_path).listing()  # without a photo it is no class
    Path(os.fsdecode(root + b"/train/" + raw + b"/1.jpg")).write_bytes(b"")
    with pytest.raises(DataError, match="neither UTF-8 nor Korean") as error:
        Layout.at(tmp_path).listing()
    assert raw.decode("ascii", "backslashreplace") in str(error.value)


def _made(folder):
    try:
        os.mkdir(folder)  # noqa: PTH102 - a path of bytes
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")


def test_listing_digest_sees_what_was_touched(tmp_path):
    layout = Layout.at(_touch(tmp_path, "train/K5/0.jpg", "train/K5/1.jpg"))
    before = listing_digest(layout.training_photos())
    assert listing_digest(layout.training_photos()) == before
    _touch(tmp_path, "test/TEST_00001.jpg")
    assert listing_digest(layout.training_photos()) == before
    (tmp_path / "train/K5/0.jpg").write_bytes(b"longer")
    changed = listing_digest(layout.training_photos())
    assert changed != before
    (tmp_path / "train/K5/1.jpg").unlink()
    assert listing_digest(layout.training_photos()) not in (before, changed)

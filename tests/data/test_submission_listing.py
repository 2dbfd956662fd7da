"""The photos to predict: from a CSV or a folder, each of them there, each once."""

import logging
import os
import time
import unicodedata

import pytest

from carvision.data.folder.layout import Layout
from carvision.data.preparation.exclusions import read_exclusions
from carvision.data.submission import Template
from carvision.data.submission_listing import ALLOW_PATHS, SubmissionPhotos, read_table
from carvision.errors import DataError

BOM = "\ufeff"


def _nfd(text):
    return unicodedata.normalize("NFD", text)


def _photo(root, name):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def _csv(root, text, name="test.csv", encoding="utf-8"):
    path = root / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.fixture
def root(tmp_path):
    for name in ("test/TEST_00000.jpg", "test/TEST_00001.jpg"):
        _photo(tmp_path, name)
    return tmp_path.resolve()


ROWS = "ID,img_path\nTEST_00001,./test/TEST_00001.jpg\nTEST_00000,./test/TEST_00000.jpg\n"


@pytest.mark.parametrize("start", ["", BOM])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv(root, start, end):
    _csv(root, start + ROWS.replace("\n", end))
    photos = SubmissionPhotos.of(Layout.at(root))
    # In the order of the list, not of the disk.
    assert photos.ids == ("TEST_00001", "TEST_00000")
    assert photos.paths == (root / "test/TEST_00001.jpg", root / "test/TEST_00000.jpg")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949", "euc_kr"])
def test_lists_in_the_encodings_of_korean_excel(root, encoding):
    _photo(root, "test/쏘렌토_4세대.jpg")
    _csv(root, "ID,img_path\n쏘렌토,test/쏘렌토_4세대.jpg\n", encoding=encoding)
    photos = SubmissionPhotos.of(Layout.at(root))
    assert photos.ids == ("쏘렌토",)
    assert photos.paths == (root / "test/쏘렌토_4세대.jpg",)
    path = _csv(root, "ID,쏘렌토,Niro\na,0,0\n", "sample_submission.csv", encoding)
    assert Template.read(path).columns == ("쏘렌토", "Niro")
    path = _csv(root, "image_id,reason\ntrain/쏘렌토/1.jpg,흐림\n", "exclude.csv", encoding)
    assert read_exclusions(path) == {"train/쏘렌토/1.jpg": "listed: 흐림"}


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("Citroën", "cp1252"), ("Citroën", "cp850"), ("Ärger", "cp1252"), ("トヨタ", "shift_jis")],
)
def test_lists_in_other_encodings_are_refused(root, name, encoding):
    path = _csv(root, f"ID,img_path\n1,test/{name}.jpg\n", encoding=encoding)
    with pytest.raises(DataError, match=r"test\.csv cannot be read: .*save it as UTF-8"):
        read_table(path, ["ID", "img_path"])


def test_ids_stay_text(root):
    _csv(root, "ID,img_path\n007,test/TEST_00000.jpg\nNA,test/TEST_00001.jpg\n")
    assert SubmissionPhotos.of(Layout.at(root)).ids == ("007", "NA")


def test_folder(root):
    _photo(root, "test/._TEST_00000.jpg")
    _photo(root, "test/notes.txt")
    photos = SubmissionPhotos.of(Layout.at(root))
    assert photos.ids == ("TEST_00000", "TEST_00001")
    assert photos.paths == (root / "test/TEST_00000.jpg", root / "test/TEST_00001.jpg")


def test_ones_own_list_or_folder(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other").resolve()
    _photo(other, "a/x.jpg")
    _csv(other, "ID,img_path,note\nx,a/x.jpg,mine\n", "mine.csv")
    layout = Layout.at(root)
    for test in ("mine.csv", "a"):
        photos = SubmissionPhotos.of(layout, str(other / test))
        assert (photos.ids, photos.paths) == (("x",), (other / "a/x.jpg",))


def test_a_name_that_the_disk_decomposes(root):
    path = _photo(root, "test/" + _nfd("라브4.jpg"))
    _csv(root, f"{BOM}ID,img_path\n라브4,./test/라브4.jpg\n")
    photos = SubmissionPhotos.of(Layout.at(root))
    assert photos.ids == ("라브4",)
    assert photos.paths[0].samefile(path)


def test_a_name_that_the_list_decomposes(root):
    path = _photo(root, "test/라브4.jpg")
    _csv(root, _nfd("ID,img_path\na,./test/라브4.jpg\n"))
    assert SubmissionPhotos.of(Layout.at(root)).paths[0].samefile(path)


def test_a_folder_that_the_disk_decomposes(root):
    root = root / _nfd("자료")
    path = _photo(root, _nfd("사진/a.jpg"))
    if (root / "사진").is_dir():
        pytest.skip("this disk knows both forms")
    _csv(root, f"ID,img_path\na,사진/a.jpg\nb,{root.parent}/자료/사진/a.jpg\n")
    assert all(found.samefile(path) for found in SubmissionPhotos.of(Layout.at(root)).paths)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROWS + "TEST_00002,./test/TEST_00002.jpg\n", r"line 4: .*TEST_00002\.jpg' is missing"),
        ("ID,img_path\na,nowhere/a.jpg\n", r"line 2: .*nowhere/a\.jpg' is missing"),
        (ROWS + "TEST_00001,./test/TEST_00000.jpg\n", "'TEST_00001' occurs more than once"),
        ("ID,img_path\n", "lists no photo"),
        ("ID,path\na,b\n", r"expected the columns \['ID', 'img_path'\], missing \['img_path'\]"),
        ("", "cannot be read"),
    ],
)
def test_csv_refused(root, text, message):
    path = _csv(root, text)
    with pytest.raises(DataError, match=message) as error:
        SubmissionPhotos.of(Layout.at(root))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["", ".", "test"])
def test_a_row_without_a_photo(root, name):
    _csv(root, f"ID,img_path\na,{name}\n")
    with pytest.raises(DataError, match=r"line 2: .* is missing"):
        SubmissionPhotos.of(Layout.at(root))


def test_lines_are_counted_as_an_editor_does(root):
    _csv(root, "ID,img_path\n\na,test/absent.jpg\n")
    with pytest.raises(DataError, match="line 3: "):
        SubmissionPhotos.of(Layout.at(root))


def test_rows_that_are_longer_than_the_header(root):
    path = _csv(root, "ID,img_path\na,test/TEST_00000.jpg,\nb,test/TEST_00001.jpg,\n")
    try:
        table = read_table(path, ["ID"])
    except DataError:
        return
    assert table["ID"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("absent.csv", "does not exist"),
        ("test/TEST_00000.jpg", "is neither a folder nor a .csv"),
        ("empty", "holds no photo"),
        ("twice", "'a' occurs more than once"),
    ],
)
def test_refused(root, test, message):
    (root / "empty").mkdir()
    _photo(root, "twice/x/a.jpg")
    _photo(root, "twice/y/a.png")
    with pytest.raises(DataError, match=message):
        SubmissionPhotos.of(Layout.at(root), str(root / test))


def test_nothing_to_predict(tmp_path):
    with pytest.raises(DataError, match=r"neither test\.csv nor test/"):
        SubmissionPhotos.of(Layout.at(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "test\\TEST_00000.jpg",
        ".\\test\\TEST_00000.jpg",
        ".\\test/TEST_00000.jpg",
        "test\\..\\test\\TEST_00000.jpg",
        "./test/../test/TEST_00000.jpg",
        "test//TEST_00000.jpg",
        "{root}/test/TEST_00000.jpg",
        "{root}/nowhere/../test/TEST_00000.jpg",
    ],
)
def test_spellings_of_a_path_inside(root, name):
    _csv(root, f"ID,img_path\na,{name.format(root=root)}\n")
    assert SubmissionPhotos.of(Layout.at(root)).paths == (root / "test/TEST_00000.jpg",)


def test_a_name_that_holds_a_backslash(root):
    path = _photo(root, "test/a\\b.jpg")
    _photo(root, "test/a/b.jpg")
    _csv(root, "ID,img_path\na,test/a\\b.jpg\n")
    assert SubmissionPhotos.of(Layout.at(root)).paths == (path,)


def test_a_windows_list_of_korean_names(root):
    path = _photo(root, "test/" + _nfd("라브4/사진.jpg"))
    _csv(root, "ID,img_path\na,test\\라브4\\사진.jpg\n")
    assert SubmissionPhotos.of(Layout.at(root)).paths[0].samefile(path)


OUTSIDE = [
    "{outside}/secret.jpg",
    "../{outside.name}/secret.jpg",
    "./test/../../{outside.name}/secret.jpg",
    "..\\{outside.name}\\secret.jpg",
    "../{root.name}x/secret.jpg",
    "../",
    "/etc/passwd",
    "~/secret.jpg/../../../etc/passwd",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_list_names_no_file_outside_of_its_folder(root, tmp_path_factory, name):
    outside = tmp_path_factory.mktemp("outside").resolve()
    _photo(outside, "secret.jpg")
    _photo(root.parent, f"{root.name}x/secret.jpg")
    _csv(root, f"ID,img_path\na,test/TEST_00000.jpg\nb,{name.format(root=root, outside=outside)}\n")
    with pytest.raises(DataError, match=f"line 3: .*outside of .*{ALLOW_PATHS}=1"):
        SubmissionPhotos.of(Layout.at(root))


def test_a_list_that_is_trusted(root, tmp_path_factory, monkeypatch):
    outside = tmp_path_factory.mktemp("outside").resolve()
    path = _photo(outside, "a.jpg")
    _csv(root, f"ID,img_path\na,{path}\nb,{os.path.relpath(path, root)}\n")
    monkeypatch.setenv(ALLOW_PATHS, "1")
    assert SubmissionPhotos.of(Layout.at(root)).paths == (path, path)


def test_links_are_what_they_are_called(root, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk").resolve()
    _photo(disk, "photos/a.jpg")
    (root / "linked").symlink_to(disk / "photos")
    (root / "b.jpg").symlink_to(disk / "photos" / "a.jpg")
    _csv(root, "ID,img_path\na,linked/a.jpg\nb,b.jpg\n")
    photos = SubmissionPhotos.of(Layout.at(root))
    assert photos.paths == (root / "linked/a.jpg", root / "b.jpg")


def test_a_list_below_a_link(root, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "data"
    link.symlink_to(root)
    _csv(root, f"ID,img_path\na,{link}/test/TEST_00000.jpg\nb,{root}/test/TEST_00001.jpg\n")
    photos = SubmissionPhotos.of(None, str(link / "test.csv"))
    assert [path.resolve() for path in photos.paths] == [
        root / "test/TEST_00000.jpg",
        root / "test/TEST_00001.jpg",
    ]


def test_a_list_of_ones_own_may_name_the_datas_photos(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other").resolve()
    wanted = root / "test/TEST_00000.jpg"
    inside = os.path.relpath(wanted, other)
    path = _csv(other, f"ID,img_path\na,{wanted}\nb,{inside}\n", "mine.csv")
    assert SubmissionPhotos.of(None, str(path), root).paths == (wanted, wanted)
    for name in (f"{root.parent}/x.jpg", inside + "/../../../x.jpg"):
        path = _csv(other, f"ID,img_path\na,{name}\n", "mine.csv")
        with pytest.raises(DataError, match=r"line 2: .*outside of"):
            SubmissionPhotos.of(None, str(path), root)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 300 + ".jpg", "line 2: the photo 'x+… .* cannot be looked up: File name too long"),
        ("y/" * 3000 + "a.jpg", "line 2: the photo .* cannot be looked up: File name too long"),
        ("test/TEST_00000.jpg\0x", "line 2: the photo .* is missing: no name holds a NUL"),
        ("pipe.jpg", "line 2: the photo 'pipe.jpg' is missing"),
        ("test", "line 2: the photo 'test' is missing: that is a folder"),
        ("nowhere.jpg", "line 2: the photo 'nowhere.jpg' is missing"),
        ("gone.jpg", "line 2: the photo 'gone.jpg' is missing"),
        ("loop/a.jpg", "line 2: the photo 'loop/a.jpg' "),
    ],
    ids=["long name", "long path", "NUL", "pipe", "folder", "nowhere", "dangling link", "loop"],
)
def test_what_is_no_photo(root, name, message):
    os.mkfifo(root / "pipe.jpg")
    (root / "gone.jpg").symlink_to("absent.jpg")
    (root / "loop").symlink_to("loop")
    _csv(root, f"ID,img_path\na,{name}\n")
    with pytest.raises(DataError, match=message) as error:
        SubmissionPhotos.of(Layout.at(root))
    assert len(str(error.value)) < 500


def test_a_row_that_ends_before_its_path(root):
    _csv(root, "ID,img_path\na,test/TEST_00000.jpg\nb\n")
    with pytest.raises(DataError, match="line 3: the photo '' is missing"):
        SubmissionPhotos.of(Layout.at(root))


def test_a_long_list_in_another_unicode_form_is_read_fast(root):
    for i in range(400):
        _photo(root, _nfd(f"사진{i}.jpg"))
    _csv(root, "ID,img_path\n" + "".join(f"{i},사진{i}.jpg\n" for i in range(400)))
    start = time.process_time()
    assert len(SubmissionPhotos.of(Layout.at(root)).paths) == 400
    # The folder is read once, and not once a photo.
    assert time.process_time() - start < 2


def _korean_bytes(root, text):
    """A photo whose name on the disk is cp949, as Korean programs write it."""
    return _photo(root, os.fsdecode(text.encode("cp949")))


def test_names_on_the_disk_that_are_cp949(root):
    path = _korean_bytes(root, "사진/차.jpg")
    _csv(root, "ID,img_path\na,사진/차.jpg\nb,사진\\차.jpg\n")
    assert SubmissionPhotos.of(Layout.at(root)).paths == (path, path)
    photos = SubmissionPhotos.of(None, str(path.parent))
    assert (photos.ids, photos.paths) == (("차",), (path,))


def test_what_is_passed_over_in_a_test_folder_is_said(root, caplog):
    _photo(root, "test/.hidden/a.jpg")
    (root / "test" / "gone.jpg").symlink_to("nowhere")
    (root / "test" / "again").symlink_to(root / "test")
    with caplog.at_level(logging.INFO, "carvision"):
        photos = SubmissionPhotos.of(Layout.at(root))
    assert photos.ids == ("TEST_00000", "TEST_00001", "gone")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "above them: again" in caplog.text and ".hidden (1)" in caplog.text


def test_a_folder_of_test_photos_that_cannot_be_read(root, monkeypatch):
    _photo(root, "test/more/a.jpg")
    real = os.scandir

    def refused(path):
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match="test/more; give yourself the right to read them"):
        SubmissionPhotos.of(Layout.at(root))

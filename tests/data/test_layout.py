"""Where photos are found: the competition's layout and plain class folders."""

import unicodedata

import pytest

from carvision.data.layout import Layout, find_photos, listing_digest
from carvision.errors import DataError


def _touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def _ids(root):
    return [photo.image_id for photo in Layout.at(root).training_photos()]


COMPETITION = (
    "train/K5/K5_0001.jpg",
    "train/K5/K5_0000.JPG",
    "train/라브4/라브4_0000.png",
    "test/TEST_00000.jpg",
    "test.csv",
    "sample_submission.csv",
)


def test_competition_layout(tmp_path):
    layout = Layout.at(_touch(tmp_path, *COMPETITION))
    assert layout.train == tmp_path.resolve() / "train"
    assert layout.test == tmp_path.resolve() / "test.csv"
    assert layout.template == tmp_path.resolve() / "sample_submission.csv"
    assert layout.answers is None
    photos = layout.training_photos()
    assert [photo.image_id for photo in photos] == [
        "train/K5/K5_0000.JPG",
        "train/K5/K5_0001.jpg",
        "train/라브4/라브4_0000.png",
    ]
    assert [layout.label_of(photo) for photo in photos] == ["K5", "K5", "라브4"]
    _touch(tmp_path, "answers.csv")
    assert layout.answers == tmp_path.resolve() / "answers.csv"


def test_plain_class_folders(tmp_path):
    root = _touch(tmp_path, "b/1.jpg", "a/deep/er/2.webp", "test/3.jpg", "loose.jpg")
    layout = Layout.at(root)
    assert layout.train == layout.root
    assert _ids(root) == ["a/deep/er/2.webp", "b/1.jpg"]
    assert [layout.label_of(photo) for photo in layout.training_photos()] == ["a", "b"]
    assert layout.test == layout.root / "test"
    assert layout.template is None


def test_a_folder_without_test_photos(tmp_path):
    assert Layout.at(_touch(tmp_path, "a/1.jpg")).test is None


@pytest.mark.parametrize(
    "name",
    [
        "train/a/._1.jpg",
        "train/a/.hidden/1.jpg",
        "train/.Trash/1.jpg",
        "train/a/notes.txt",
        "train/a/Thumbs.db",
        "train/a/jpg",
        "train/loose.jpg",
        "elsewhere/1.jpg",
    ],
)
def test_left_out(tmp_path, name):
    assert _ids(_touch(tmp_path, "train/a/1.jpg", name)) == ["train/a/1.jpg"]


def test_a_name_from_macos(tmp_path):
    disk = unicodedata.normalize("NFD", "train/라브4/라브4_0000.jpg")
    layout = Layout.at(_touch(tmp_path, disk))
    (photo,) = layout.training_photos()
    assert photo.image_id == "train/라브4/라브4_0000.jpg"
    assert photo.path == disk
    assert (layout.root / photo.path).is_file()
    assert layout.label_of(photo) == "라브4"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "does not exist; give a folder"),
        ("file.txt", "is not a folder"),
        ("absent.zip", "does not exist"),
    ],
)
def test_no_folder(tmp_path, name, message):
    _touch(tmp_path, "file.txt")
    with pytest.raises(DataError, match=message) as error:
        Layout.at(tmp_path / name)
    assert f"data={tmp_path / name}" in str(error.value)


def test_find_photos_is_relative_to_the_root(tmp_path):
    _touch(tmp_path, "test/TEST_00000.jpg", "test/b/TEST_00001.jpeg")
    photos = list(find_photos(tmp_path / "test", tmp_path))
    assert sorted(photo.path for photo in photos) == [
        "test/TEST_00000.jpg",
        "test/b/TEST_00001.jpeg",
    ]


def test_listing_digest_sees_what_was_touched(tmp_path):
    layout = Layout.at(_touch(tmp_path, *COMPETITION))
    before = listing_digest(layout.training_photos())
    assert listing_digest(layout.training_photos()) == before
    _touch(tmp_path, "test/TEST_00001.jpg")
    assert listing_digest(layout.training_photos()) == before
    (tmp_path / COMPETITION[0]).write_bytes(b"longer")
    changed = listing_digest(layout.training_photos())
    assert changed != before
    (tmp_path / COMPETITION[1]).unlink()
    assert listing_digest(layout.training_photos()) not in (before, changed)


def test_a_link_to_nowhere_is_left_to_the_scan(tmp_path):
    layout = Layout.at(_touch(tmp_path, "train/a/1.jpg"))
    (tmp_path / "train" / "a" / "2.jpg").symlink_to(tmp_path / "nowhere.jpg")
    photos = layout.training_photos()
    assert [photo.image_id for photo in photos] == ["train/a/1.jpg", "train/a/2.jpg"]
    assert photos[0].modified > photos[1].modified == 0


def test_a_class_with_a_folder_called_train_is_a_class(tmp_path):
    layout = Layout.at(_touch(tmp_path, "cars/train/1.jpg", "bikes/2.jpg"))
    assert [photo.image_id for photo in layout.training_photos()] == [
        "bikes/2.jpg",
        "cars/train/1.jpg",
    ]

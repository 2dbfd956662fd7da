"""Where photos are found: the competition's layout and plain class folders."""

import os
import unicodedata

import pytest

from carvision.data.folder.layout import Layout
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
    assert layout.labels_of(photos) == ["K5", "K5", "라브4"]
    _touch(tmp_path, "answers.csv")
    assert layout.answers == tmp_path.resolve() / "answers.csv"


def test_plain_class_folders(tmp_path):
    root = _touch(tmp_path, "b/1.jpg", "a/deep/er/2.webp", "test/3.jpg", "loose.jpg")
    layout = Layout.at(root)
    assert layout.train == layout.root
    assert _ids(root) == ["a/deep/er/2.webp", "b/1.jpg"]
    assert layout.labels_of(layout.training_photos()) == ["a", "b"]
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
    assert layout.labels_of([photo]) == ["라브4"]


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


def _with_photos(root, *folders):
    return _touch(root, *(f"{folder}/1.jpg" for folder in folders))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("training", "testing"),
        ("Training", "Test"),
        ("train_set", "Test-Set"),
        ("Train Data", "test_images"),
        (unicodedata.normalize("NFKC", "train").translate({ord("t"): "ｔ"}), "ＴＥＳＴ"),
    ],
)
@pytest.mark.parametrize("valid", [None, "valid", "Val", "VALIDATION", "eval", "dev"])
def test_names_of_splits_are_no_classes(tmp_path, train, test, valid):
    _with_photos(
        tmp_path, f"{train}/K5", f"{train}/Niro", test, *([f"{valid}/K5"] if valid else [])
    )
    layout = Layout.at(tmp_path)
    assert layout.train == layout.root / train
    assert layout.test == layout.root / test
    assert layout.labels_of(layout.training_photos()) == ["K5", "Niro"]


@pytest.mark.parametrize("test", ["test", "Test", "TESTING", "test_set"])
def test_photos_to_predict_are_no_class(tmp_path, test):
    layout = Layout.at(_with_photos(tmp_path, "K5", "Niro", test))
    assert _ids(tmp_path) == ["K5/1.jpg", "Niro/1.jpg"]
    assert layout.test == layout.root / test


@pytest.mark.parametrize(
    "folders",
    [
        ("train/test", "train/K5"),
        ("train/valid", "train/K5", "train/dev"),
        ("train/Train", "train/K5"),
        ("Training/test", "Training/K5"),
    ],
)
def test_a_class_may_be_called_like_a_split(tmp_path, folders):
    assert _ids(_with_photos(tmp_path, *folders)) == sorted(f"{folder}/1.jpg" for folder in folders)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train/K5", "Training/K5"), "'Training' and 'train'.* rename or remove all but one"),
        (("Train/K5", "training/K5"), "'Train' and 'training'"),
        (("K5", "Niro", "valid"), "'valid' may be photos for validation, or classes: put every"),
        (("K5", "Niro", "Val/K5"), "'Val' may be"),
        (("valid/K5", "test"), "holds no folder train, and 'valid'"),
        (("walking", "running", "Training"), "'Training' may be a class, or the folder of all"),
        (("train/train/K5", "train/test/K5"), "named like splits, .*: test, train; .* give data="),
    ],
)
def test_what_is_ambiguous_is_asked(tmp_path, folders, message):
    layout = Layout.at(_with_photos(tmp_path, *folders))
    with pytest.raises(DataError, match=message):
        layout.training_photos()


def test_several_folders_of_test_photos(tmp_path):
    _with_photos(tmp_path, "train/K5", "test", "Testing")
    assert _ids(tmp_path) == ["train/K5/1.jpg"]
    with pytest.raises(DataError, match=r"'Testing' and 'test', .* give test=PATH"):
        _ = Layout.at(tmp_path).test
    _touch(tmp_path, "test.csv")
    assert Layout.at(tmp_path).test == tmp_path.resolve() / "test.csv"


def test_a_folder_without_photos_is_no_question(tmp_path):
    _with_photos(tmp_path, "train/K5")
    _touch(tmp_path, "training/log.txt", "Test/notes.txt", "test/1.jpg")
    assert _ids(tmp_path) == ["train/K5/1.jpg"]
    assert Layout.at(tmp_path).test == tmp_path.resolve() / "test"


def test_two_names_of_one_folder(tmp_path):
    _with_photos(tmp_path, "train/K5")
    (tmp_path / "Training").symlink_to("train")
    assert _ids(tmp_path) == ["train/K5/1.jpg"]


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("Test.csv", "SAMPLE_SUBMISSION.CSV", "Answers.csv"), None),
        (("TEST.CSV", "sampleSubmission.csv", "answers.CSV"), None),
        (
            ("test.csv", "sample_submission.csv", "answers.csv", "Test.CSV", "Answers.CSV"),
            ("test.csv", "sample_submission.csv", "answers.csv"),
        ),
    ],
)
def test_names_of_tables(tmp_path, names, wanted):
    layout = Layout.at(_touch(tmp_path, "train/a/1.jpg", *names))
    expected = [layout.root / name for name in wanted or names]
    assert [layout.test, layout.template, layout.answers] == expected


def test_two_similar_tables(tmp_path):
    layout = Layout.at(_touch(tmp_path, "train/a/1.jpg", "Answers.csv", "ANSWERS.csv"))
    with pytest.raises(DataError, match=r"'ANSWERS\.csv' and 'Answers\.csv'.* may be answers\.csv"):
        _ = layout.answers


@pytest.mark.parametrize("train", ["Train", "training"])
def test_one_level_too_high_whatever_the_case(tmp_path, train):
    _with_photos(tmp_path, f"cars/{train}/K5")
    with pytest.raises(DataError, match=rf"cars/{train} is there: did you mean data=.*cars\?"):
        Layout.at(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "/".join(["deep"] * 1500)])
def test_paths_that_no_disk_takes(tmp_path, name):
    with pytest.raises(DataError, match=r"data=.*(cannot be read|does not exist)"):
        Layout.at(tmp_path / name)


@pytest.mark.parametrize("name", ["test.csv", "sample_submission.csv", "answers.csv"])
def test_a_class_may_be_called_like_a_table(tmp_path, name):
    _touch(tmp_path, f"{name}/a.jpg", "K5/b.jpg")
    layout = Layout.at(tmp_path)
    assert layout.labels_of(layout.training_photos()) == sorted(["K5", name])
    assert (layout.test, layout.template, layout.answers) == (None, None, None)


@pytest.mark.parametrize("name", ["test.csv", "Test.CSV", "sample_submission.csv", "answers.csv"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("nowhere"), "leads to nothing"),
        (lambda path: path.symlink_to(path), "leads to nothing"),
        (os.mkfifo, "is a pipe or a device"),
        (lambda path: path.symlink_to("/dev/zero"), "is a pipe or a device"),
    ],
)
def test_a_table_that_is_no_file(tmp_path, name, make, message):
    _touch(tmp_path, "train/K5/a.jpg", "train/Niro/b.jpg", "test/c.jpg")
    make(tmp_path / name)
    with pytest.raises(DataError, match=message):
        layout = Layout.at(tmp_path)
        _ = (layout.test, layout.template, layout.answers)


@pytest.mark.parametrize(
    "folders",
    [
        ("train1/K5", "train1/Niro", "test1"),
        ("X_train/K5", "X_train/Niro", "X_test"),
        ("train (1)/K5", "train (1)/Niro", "test (1)"),
        ("seg_train/K5", "seg_train/Niro", "seg_test/K5", "seg_pred"),
        ("cars-Train-2023/K5", "cars-Train-2023/Niro", "cars-Valid-2023/K5"),
        ("train_v1/K5", "train_v2/K5", "test"),
        ("cat train", "cat test"),
    ],
)
def test_splits_of_longer_names_are_asked(tmp_path, folders):
    _touch(tmp_path, *(f"{folder}/a.jpg" for folder in folders))
    with pytest.raises(DataError, match="may be classes, or the folders of training and test"):
        Layout.at(tmp_path).training_photos()


@pytest.mark.parametrize(
    "folders",
    [
        ("bullet_train", "steam_train"),
        ("bullet_train", "steam_train", "crash_test", "K5"),
        ("train station", "K5", "test"),
        ("training", "K5/a", "K5/b"),
        ("constrained", "detest"),
    ],
)
def test_a_class_may_have_a_split_in_its_name(tmp_path, folders):
    _touch(tmp_path, *(f"train/{folder}/a.jpg" for folder in folders))
    inside = {folder.partition("/")[0] for folder in folders}
    assert set(Layout.at(tmp_path).labels_of(Layout.at(tmp_path).training_photos())) == inside
    if "training" not in folders:
        _touch(tmp_path / "plain", *(f"{folder}/a.jpg" for folder in folders))
        layout = Layout.at(tmp_path / "plain")
        assert set(layout.labels_of(layout.training_photos())) == inside - {"test"}

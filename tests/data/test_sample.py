"""The embedded sample: scikit-learn's digits, complete, in the competition's layout."""

import pandas as pd
import pytest
from PIL import Image

from carvision.data.folder.layout import Layout
from carvision.data.sample import write_sample
from carvision.data.submission import Template, read_answers
from carvision.data.submission_listing import SubmissionPhotos

NAMES = [f"digit_{digit}" for digit in range(10)]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("data") / "sample")


def test_every_digit_is_there_once(sample):
    layout = Layout.at(sample)
    train, test = layout.training_photos(), SubmissionPhotos.of(layout)
    assert len(train) + len(test.ids) == 1797
    assert len(test.ids) == 360
    contents = [(layout.root / photo.path).read_bytes() for photo in train]
    contents += [path.read_bytes() for path in test.paths]
    assert len(set(contents)) == 1797


def test_the_layout_is_complete(sample):
    layout = Layout.at(sample)
    assert layout.train == layout.root / "train"
    assert layout.test == layout.root / "test.csv"
    labels = pd.Series(layout.labels_of(layout.training_photos()))
    assert sorted(labels.unique()) == NAMES
    assert labels.value_counts().min() >= 130
    assert Template.read(layout.template).columns == tuple(NAMES)


def test_answers_are_complete(sample):
    layout = Layout.at(sample)
    ids = SubmissionPhotos.of(layout).ids
    assert Template.read(layout.template).ids == ids
    answers = pd.Series(read_answers(layout.answers, ids))
    assert sorted(answers.unique()) == NAMES
    assert answers.value_counts().min() >= 30


def test_the_answers_are_those_of_the_photos(sample):
    # The nearest training photo of nearly every test photo is of its answer.
    layout = Layout.at(sample)
    test = SubmissionPhotos.of(layout)
    answers = read_answers(layout.answers, test.ids)

    def pixels(path):
        with Image.open(path) as image:
            return list(image.convert("L").resize((8, 8)).tobytes())

    train = layout.training_photos()
    known = pd.DataFrame([pixels(layout.root / photo.path) for photo in train]).to_numpy(float)
    asked = pd.DataFrame([pixels(path) for path in test.paths[:60]]).to_numpy(float)
    nearest = ((asked[:, None] - known[None]) ** 2).sum(axis=2).argmin(axis=1)
    right = [layout.labels_of([train[i]]) == [answers[k]] for k, i in enumerate(nearest)]
    assert sum(right) >= 57


def test_photos_are_photos(sample):
    with Image.open(SubmissionPhotos.of(Layout.at(sample)).paths[0]) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))


def test_tables_are_written_like_the_competitions(sample):
    for name in ("test.csv", "sample_submission.csv", "answers.csv"):
        assert (sample / name).read_bytes().startswith(b"\xef\xbb\xbf")


def test_what_is_there_is_left_alone(sample):
    before = {path: path.stat().st_mtime_ns for path in sample.rglob("*")}
    assert write_sample(sample) == sample
    assert {path: path.stat().st_mtime_ns for path in sample.rglob("*")} == before

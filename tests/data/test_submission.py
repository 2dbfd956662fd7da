"""The submission: columns by name, rows by ID, merged classes in every one of their columns."""

import logging
import unicodedata

import numpy as np
import pandas as pd
import pytest

from carvision.contracts import ClassMap
from carvision.data.submission import (
    FLOOR_PROBABILITY,
    Template,
    answers_for,
    build_submission,
    class_columns,
    read_answers,
    write_submission,
)
from carvision.errors import DataError, PredictionsError
from carvision.metrics import competition_log_loss

CLASSES = ClassMap.of(["K5", "RAV4", "라브4", "a"], [["RAV4", "라브4"]])  # K5, RAV4, a
IDS = ("TEST_1", "TEST_0", "TEST_2")
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.25, 0.5, 0.25]])
TEMPLATE = Template(("TEST_0", "TEST_1", "TEST_2"), ("라브4", "a", "RAV4", "K5"))


def _csv(path, text, encoding="utf-8-sig"):
    path.write_bytes(text.encode(encoding))
    return path


def _build(template=TEMPLATE):
    return build_submission(template, CLASSES, IDS, PROBABILITIES)


def test_columns_by_name_in_the_templates_order():
    submission = _build()
    assert list(submission.columns) == ["ID", "라브4", "a", "RAV4", "K5"]
    assert submission["K5"].tolist() == [0.1, 0.7, 0.25]
    assert submission["a"].tolist() == [0.6, 0.1, 0.25]


def test_rows_follow_the_templates_ids():
    assert _build()["ID"].tolist() == ["TEST_0", "TEST_1", "TEST_2"]
    backwards = Template(TEMPLATE.ids[::-1], TEMPLATE.columns)
    submission = _build(backwards)
    assert submission["ID"].tolist() == ["TEST_2", "TEST_1", "TEST_0"]
    assert submission["K5"].tolist() == [0.25, 0.7, 0.1]


def test_a_merged_classs_whole_probability_stands_in_each_of_its_columns():
    submission = _build()
    assert submission["RAV4"].tolist() == submission["라브4"].tolist() == [0.3, 0.2, 0.5]


@pytest.mark.parametrize("kept", ["RAV4", "라브4"])
def test_that_is_exact_whichever_name_the_answers_keep(kept):
    answers = ["K5", kept, "a"]
    expected = -np.log([0.1, 0.2, 0.25]).mean()
    assert competition_log_loss(answers, _build()) == pytest.approx(expected, rel=1e-12)


def test_a_column_in_another_unicode_form_keeps_its_spelling():
    decomposed = unicodedata.normalize("NFD", "라브4")
    submission = _build(Template(TEMPLATE.ids, (decomposed, "K5", "a")))
    assert list(submission.columns) == ["ID", decomposed, "K5", "a"]
    assert submission[decomposed].tolist() == [0.3, 0.2, 0.5]


def test_an_untrained_column_gets_the_floor_and_a_warning(caplog):
    template = Template(TEMPLATE.ids, (*TEMPLATE.columns, "Unseen"))
    with caplog.at_level(logging.WARNING, logger="carvision"):
        template.check(CLASSES, IDS)
    (record,) = caplog.records
    assert "1 columns" in record.getMessage()
    assert "'Unseen'" in record.getMessage()
    submission = _build(template)
    assert submission["Unseen"].tolist() == [FLOOR_PROBABILITY] * 3
    assert 0 < FLOOR_PROBABILITY < 1e-3


def test_a_template_that_fits_passes_in_silence(caplog):
    with caplog.at_level(logging.WARNING, logger="carvision"):
        TEMPLATE.check(CLASSES, IDS)
        # One of a merged class's names is enough.
        Template(TEMPLATE.ids, ("a", "K5", "라브4")).check(CLASSES, IDS)
        decomposed = unicodedata.normalize("NFD", "라브4")
        Template(TEMPLATE.ids, ("a", "K5", decomposed)).check(CLASSES, IDS)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("RAV4", "라브4", "a"), r"no column for 1 of 3 trained classes: \['K5'\]"),
        (("K5", "a"), r"no column for 1 of 3 trained classes: \['RAV4'\]"),
        ((), "no column for 3 of 3"),
        (("k5", "RAV4", "a"), r"\['K5'\]"),
    ],
)
def test_a_trained_class_without_a_column(columns, message):
    with pytest.raises(DataError, match=message):
        Template(TEMPLATE.ids, columns).check(CLASSES, IDS)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (("TEST_0", "TEST_1"), r"2 rows for 3 test photos; 1 IDs .*'TEST_2'"),
        (("TEST_0", "TEST_1", "TEST_3"), r"2 IDs are in one only: \['TEST_2', 'TEST_3'\]"),
        (("TEST_0", "TEST_1", "TEST_2", "TEST_2"), "4 rows for 3"),
    ],
)
def test_rows_that_are_not_the_photos(ids, message):
    with pytest.raises(DataError, match=message):
        Template(ids, TEMPLATE.columns).check(CLASSES, IDS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_reading_a_template(tmp_path, encoding):
    path = _csv(tmp_path / "t.csv", "ID,라브4,a\nTEST_0,0,0\n007,0,0\n", encoding)
    assert Template.read(path) == Template(("TEST_0", "007"), ("라브4", "a"))


@pytest.mark.parametrize(
    "columns",
    [
        "라브4," + unicodedata.normalize("NFD", "라브4"),
        "K5,K5",
    ],
    ids=["unicode forms", "equal"],
)
def test_two_columns_of_one_name(tmp_path, columns):
    path = _csv(tmp_path / "t.csv", f"ID,{columns}\nTEST_0,0,0\n")
    with pytest.raises(DataError, match="same name"):
        Template.read(path)


def test_a_template_without_ids(tmp_path):
    with pytest.raises(DataError, match=r"missing \['ID'\]"):
        Template.read(_csv(tmp_path / "t.csv", "id,K5\nTEST_0,0\n"))


def test_data_without_a_template():
    template = Template.of_classes(IDS, CLASSES)
    assert template == Template(IDS, ("K5", "RAV4", "a", "라브4"))
    template.check(CLASSES, IDS)


def test_writing(tmp_path):
    path = tmp_path / "new" / "submission.csv"
    submission = _build()
    write_submission(path, submission)
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfID,")
    assert content.count(b"\xef\xbb\xbf") == 1
    read = pd.read_csv(path, encoding="utf-8-sig")
    pd.testing.assert_frame_equal(read, submission)
    template = Template.read(path)
    assert template == TEMPLATE


def test_answers(tmp_path):
    path = _csv(tmp_path / "answers.csv", "ID,label\nTEST_0,라브4\nTEST_1,K5\nTEST_2,NA\n")
    assert read_answers(path, ("TEST_2", "TEST_0")) == ["NA", "라브4"]
    with pytest.raises(DataError, match="no answer for 2 photos, the first: x"):
        read_answers(path, ("TEST_0", "x", "y"))


@pytest.mark.parametrize("columns", [("ID", "K5"), ("K5", "ID"), ("id", "ID", "Id")])
def test_a_class_called_as_the_id_column(tmp_path, columns):
    classes, ids = ClassMap.of(columns), ("007", "a")
    p = np.random.default_rng(0).dirichlet(np.ones(len(columns)), 2)
    template = Template(ids, columns)
    template.check(classes, ids)
    submission = build_submission(template, classes, ids, p)
    path = tmp_path / "s.csv"
    write_submission(path, submission)
    assert path.read_text("utf-8-sig").splitlines()[0] == ",".join(("ID", *columns))
    assert Template.read(path) == template
    read = pd.read_csv(path, header=None, skiprows=1, dtype={0: str}, encoding="utf-8-sig")
    assert read[0].tolist() == list(ids)
    place = classes.index_by_folder()["ID"]
    np.testing.assert_allclose(read[1 + columns.index("ID")], p[:, place], rtol=1e-8)
    answers = ["ID", columns[0]]
    expected = competition_log_loss(answers, class_columns(submission))
    assert competition_log_loss(answers, submission) == expected


def test_a_template_whose_ids_are_not_first(tmp_path):
    path = _csv(tmp_path / "t.csv", "K5,ID,a\n0,x,0\n0,y,0\n")
    assert Template.read(path) == Template(("x", "y"), ("K5", "a"))


@pytest.mark.parametrize("scale", [1, 3, 10, 100], ids=lambda scale: f"logits times {scale}")
def test_nine_digits_lose_nothing(tmp_path, scale):
    """From blunt to so sure that most probabilities underflow; 1e-6 nats would be a loss."""
    generator = np.random.default_rng(scale)
    logits = scale * generator.normal(size=(300, 396))
    targets = generator.integers(0, 396, 300)
    logits[np.arange(300), targets] += 5 * scale
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    names = [f"K5_{i}" for i in range(396)]
    ids = tuple(str(i) for i in range(300))
    exact = build_submission(Template(ids, tuple(names)), ClassMap.of(names), ids, p)
    path = tmp_path / "s.csv"
    write_submission(path, exact)
    written = pd.read_csv(path, encoding="utf-8-sig", float_precision="round_trip")
    before, after = class_columns(exact).to_numpy(), class_columns(written).to_numpy()
    assert ((after == 0) == (before == 0)).all(), "what was not zero became zero"
    assert after.min() >= 0 and after.max() <= 1
    np.testing.assert_allclose(after, before, rtol=5.1e-9, atol=5e-324)
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-8)
    answers = [names[target] for target in targets]
    moved = competition_log_loss(answers, written) - competition_log_loss(answers, exact)
    assert abs(moved) < 1e-8
    full = len(exact.to_csv(index=False, encoding="utf-8-sig"))
    assert path.stat().st_size < 0.75 * full


def test_an_earlier_submission_is_kept(tmp_path):
    path = tmp_path / "submission.csv"
    write_submission(path, _build())
    first = path.read_bytes()
    write_submission(path, _build())
    assert [own.name for own in tmp_path.iterdir()] == ["submission.csv"]
    write_submission(path, _build(Template(TEMPLATE.ids[::-1], TEMPLATE.columns)))
    assert (tmp_path / "submission.csv.1").read_bytes() == first != path.read_bytes()


ANSWERED = "ID,label\nTEST_0,라브4\nTEST_1,K5\n"


@pytest.mark.parametrize("label", ["a", "라브4", unicodedata.normalize("NFD", "라브4"), "Unseen"])
def test_answers_that_can_be_scored(tmp_path, label):
    path = _csv(tmp_path / "answers.csv", f"{ANSWERED}TEST_2,{label}\n")
    template = Template(TEMPLATE.ids, (*TEMPLATE.columns, "Unseen"))
    assert answers_for(path, template, CLASSES) == ["라브4", "K5", label]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("TEST_2,", "has no answer for 1 photos, the first: TEST_2"),
        ("TEST_2", "has no answer for 1 photos, the first: TEST_2"),
        ("", "has no answer for 1 photos, the first: TEST_2"),
        ("TEST_2,RAV5", "1 answers are no class .*of TEST_2: 'RAV5'; did you mean 'RAV4'"),
        ("TEST_2,0", "1 answers are no class .*of TEST_2: '0'"),
        ("TEST_2,ID", "1 answers are no class .*of TEST_2: 'ID'"),
        ("TEST_2, a", "of TEST_2: ' a'; did you mean 'a'"),
    ],
)
def test_answers_that_cannot_be_scored(tmp_path, row, message):
    path = _csv(tmp_path / "answers.csv", f"{ANSWERED}{row}\n")
    with pytest.raises(DataError, match=message):
        answers_for(path, TEMPLATE, CLASSES)


def test_what_is_not_a_number_is_no_submission():
    p = PROBABILITIES.copy()
    p[1, 2] = np.nan
    with pytest.raises(
        PredictionsError, match="of 1 photos are not numbers, the first of 'TEST_0'"
    ):
        build_submission(TEMPLATE, CLASSES, IDS, p)

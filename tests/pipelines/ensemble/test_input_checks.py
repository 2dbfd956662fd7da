"""What is checked of the test photos and of what lies beside them."""

from dataclasses import replace
from pathlib import Path

import pytest

from carvision.contracts import ClassMap
from carvision.data.submission_listing import SubmissionPhotos
from carvision.errors import DataError
from carvision.pipelines.ensemble import unreadable_photos
from carvision.pipelines.ensemble.input_checks import SubmissionInput, find_test
from tests.conftest import SAME_CLASSES, write_photos


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_photos(tmp_path, per_class=1, test=3)


def _classes(root: Path) -> ClassMap:
    return ClassMap.of((path.name for path in (root / "train").iterdir()), SAME_CLASSES)


def test_photos_that_were_checked_before_are_not_decoded_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    monkeypatch.setattr(
        unreadable_photos, "unreadable_photos", lambda *given: decoded.append(1) or {}
    )
    found, classes = find_test(str(root), ""), _classes(root)
    first = SubmissionInput.checked(*found, classes)
    again = SubmissionInput.checked(*found, classes, first.unreadable)
    assert again.unreadable is first.unreadable and len(decoded) == 1
    # A photo that could not be read is tried again: its disk may have come back.
    first.unreadable.marks[0] = True
    SubmissionInput.checked(*found, classes, first.unreadable)
    assert len(decoded) == 2 and first.unreadable.readable.all()
    # The check of other photos says nothing of these.
    others = replace(first.unreadable, photos=SubmissionPhotos(("x",), (root / "x.jpg",)))
    SubmissionInput.checked(*found, classes, others)
    assert len(decoded) == 3


def test_a_template_of_other_classes_is_refused_before_photos_are_decoded(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        unreadable_photos, "unreadable_photos", lambda *given: pytest.fail("decoded")
    )
    with pytest.raises(DataError, match="no column for 1 of 1 trained classes"):
        SubmissionInput.checked(*find_test(str(root), ""), ClassMap.of(["Ferrari"]))

"""A test photo that cannot be read costs itself, and no submission."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run

from carvision.config import Config, load_config
from carvision.data.submission_listing import SubmissionPhotos
from carvision.errors import DataError
from carvision.pipelines.ensemble import prediction
from carvision.pipelines.ensemble.step import ensemble
from carvision.pipelines.ensemble.unreadable_photos import UnreadablePhotos
from carvision.pipelines.main import main
from carvision.pipelines.train.step import train
from carvision.pipelines.tune.step import tune
from carvision.store.artifacts import fetch
from carvision.store.runs import find_runs
from tests.conftest import SAME_CLASSES, write_photos

_COLUMNS = ["K5_하이브리드", "K5_Hybrid", "Niro", "RAV4"]
#: Training photos: 16 of the two names of one car, 3 of Niro, 8 of RAV4; one more for each class.
_PRIOR = np.array([17, 17, 4, 9]) / 30


def _config() -> Config:
    groups = str(SAME_CLASSES).replace("'", "").replace(" ", "")
    settings = "data.folds=2 model.image_size=32 train.epochs=1 precision=fp32 device=cpu"
    return load_config("efficientnet_lite0", overrides=f"{settings} data.same_classes={groups}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of which all can be read, few of one class."""
    root = write_photos(tmp_path_factory.mktemp("photos"))
    for i in range(3, 8):
        (root / "train" / "Niro" / f"Niro_{i:04d}.jpg").unlink()
    return root


@pytest.fixture(scope="module")
def trained(store: Path, whole: Path) -> None:
    train([_config()], str(whole), "all", "auto")


@pytest.fixture(scope="module")
def planned(trained: None, whole: Path, store: Path) -> pd.DataFrame:
    """By the plan's weights, with a photo that is cut short."""
    return _submitted(_with_bad(whole, store / "planned"), store / "planned.csv")


@pytest.fixture(scope="module")
def expected(planned: pd.DataFrame, whole: Path, store: Path) -> pd.DataFrame:
    """What the tuned ensemble submits while every photo can be read."""
    tune(_config(), str(whole), [], 1)
    return _submitted(whole, store / "expected.csv")


def _with_bad(whole: Path, into: Path, *names: str) -> Path:
    shutil.copytree(whole, into)
    for name in names or ("TEST_00002",):
        path = into / "test" / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:400])
    return into


def _submitted(root: Path, output: Path) -> pd.DataFrame:
    ensemble(_config(), str(root), test="", output=output, tta_steps=5)
    return pd.read_csv(output, encoding="utf-8-sig").set_index("ID")


def _check(found: pd.DataFrame, expected: pd.DataFrame, bad: str = "TEST_00002") -> None:
    """The bad photo has the classes' shares, the others what they have without it."""
    np.testing.assert_allclose(found.loc[bad, _COLUMNS], _PRIOR, rtol=1e-6)
    assert found.loc[bad, _COLUMNS[1:]].sum() == pytest.approx(1, abs=1e-7)
    others = found.index != bad
    pd.testing.assert_frame_equal(found[others], expected[others], atol=1e-6)


def _newest() -> Run:
    return find_runs("ensemble", {})[0]


def test_by_the_plans_weights(planned: pd.DataFrame) -> None:
    np.testing.assert_allclose(planned.loc["TEST_00002", _COLUMNS], _PRIOR, rtol=1e-6)


def test_a_photo_that_is_bad_from_the_start(
    expected: pd.DataFrame, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = _with_bad(whole, tmp_path / "photos")
    with caplog.at_level(logging.WARNING, "carvision"):
        found = _submitted(root, tmp_path / "s.csv")
    _check(found, expected)
    (warning,) = [r.getMessage() for r in caplog.records if "cannot be read" in r.getMessage()]
    assert warning.startswith("1 of 6 test photos") and "TEST_00002.jpg" in warning
    run = _newest()
    path = fetch(run.info.run_id, "confidence.csv", tmp_path)
    table = pd.read_csv(path, encoding="utf-8-sig", keep_default_na=False).set_index("image_id")
    assert "cannot be read" in table.loc["TEST_00002", "unreadable"]
    assert (table["unreadable"] == "").sum() == 5
    assert table.loc["TEST_00002", "class_1"] == "K5_하이브리드"
    assert table.loc["TEST_00002", "probability_1"] == pytest.approx(_PRIOR[0])
    page = fetch(run.info.run_id, "forecast.html", tmp_path).read_text(encoding="utf-8")
    assert page.count("TEST_00002") >= 1 and "Photos that cannot be read" in page
    assert page.index("TEST_00002") < page.index("The least certain photos")
    assert "TEST_00002" not in page[page.index("The least certain photos") :]
    assert {"test/log_loss", "forecast/log_loss"} <= set(run.data.metrics)


@pytest.mark.parametrize("how", ["deleted", "overwritten"])
def test_a_photo_that_goes_bad_while_it_is_predicted(
    how: str,
    expected: pd.DataFrame,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = tmp_path / "photos"
    shutil.copytree(whole, root)
    photo = root / "test" / "TEST_00004.jpg"

    def breaking(fold: int) -> None:
        # Between the folds: the first has seen the photo, the second does not.
        photo.unlink(missing_ok=True)
        if how == "overwritten":
            photo.write_text("something else")

    _between_folds(monkeypatch, breaking)
    with caplog.at_level(logging.WARNING, "carvision"):
        found = _submitted(root, tmp_path / "s.csv")
    _check(found, expected, "TEST_00004")
    assert "TEST_00004" in caplog.text and "could no longer be read" in caplog.text
    assert "forecast/log_loss" in _newest().data.metrics


def test_a_disk_that_goes_away_ends_it(
    expected: pd.DataFrame, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "photos"
    shutil.copytree(whole, root)
    _between_folds(monkeypatch, lambda fold: shutil.rmtree(root / "test", ignore_errors=True))
    with pytest.raises(DataError, match="6 of 6 test photos cannot be read, which is too many"):
        _submitted(root, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def _between_folds(monkeypatch: pytest.MonkeyPatch, event: Any) -> None:
    real = prediction.predict_member

    def predict_member(*given: Any) -> Any:
        *others, keep, predicted = given

        def keep_then(fold: int, log_p: Any) -> None:
            keep(fold, log_p)
            event(fold)

        return real(*others, keep_then, predicted)

    monkeypatch.setattr(prediction, "predict_member", predict_member)


def test_main_says_so_before_it_trains(store: Path, whole: Path, tmp_path: Path) -> None:
    root = _with_bad(whole, tmp_path / "photos", "TEST_00001", "TEST_00002")
    before = len(find_runs("fold", {}))
    with pytest.raises(DataError, match=r"2 of 6 test photos .* right folder.*TEST_00001"):
        main([_config()], str(root), test="", trials=1, tta_steps=5, output=tmp_path / "s.csv")
    assert len(find_runs("fold", {})) == before
    assert not (tmp_path / "s.csv").exists()


@pytest.mark.parametrize(
    ("bad", "total", "refused"),
    [
        *((0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True), (1, 39, False), (2, 39, True)),
        *((2, 40, False), (3, 40, True), (5, 100, False), (6, 100, True), (100, 100, True)),
    ],
)
def test_how_many_are_too_many(tmp_path: Path, bad: int, total: int, refused: bool) -> None:
    sound = write_photos(tmp_path, per_class=0, test=1) / "test" / "TEST_00000.jpg"
    paths = [tmp_path / f"gone_{i}.jpg" for i in range(bad)] + [sound] * (total - bad)
    photos = SubmissionPhotos(tuple(str(i) for i in range(total)), tuple(paths))
    if refused:
        with pytest.raises(DataError, match=f"{bad} of {total} test photos cannot be read"):
            UnreadablePhotos.among(photos)
    else:
        found = UnreadablePhotos.among(photos)
        assert (~found.readable).sum() == len(found.reasons) == bad

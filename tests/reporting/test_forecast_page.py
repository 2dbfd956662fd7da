"""The page of an ensemble run: the forecast, the truth beside it, the hardest photos."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from carvision.contracts import EnsembleOof
from carvision.ensembling.confidence import confidence_table
from carvision.ensembling.fold_averaging import FoldMixtures, TestFolds
from carvision.ensembling.forecast import forecast_score
from carvision.ensembling.shift import Shift
from carvision.reporting.forecast_page import ExplainedForecast, TrueScores, forecast_page
from carvision.reporting.tables import show_forecast
from tests.conftest import write_photos

_IDS = [f"TEST_{i:05d}" for i in range(6)]
_NAMES = ("Niro", "K5 <b>", "라브4")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = write_photos(tmp_path_factory.mktemp("photos"), per_class=1)
    return {name: root / "test" / f"{name}.jpg" for name in _IDS}


def _predictions() -> np.ndarray:
    """Log-probabilities ``[folds, images, classes]``."""
    return log_softmax(np.random.default_rng(0).normal(0, 2, (2, 6, 3)), axis=2)


def _table(members: int = 2) -> pd.DataFrame:
    own = list(np.exp(_predictions()))[:members]
    return confidence_table(_IDS, np.mean(own, axis=0), own, [1.0] * members, _NAMES)


def _explained() -> ExplainedForecast:
    log_q = _predictions()
    folds = FoldMixtures("arithmetic", [1, 2])
    for fold, own in enumerate(log_q, start=1):
        folds.add(np.ones(1), fold, own[None])
    test = TestFolds.of(folds, np.exp(log_q).mean(axis=0))
    index = pd.DataFrame({"image_id": _IDS, "group": _IDS, "fold": 1, "class_index": 0})
    oof = EnsembleOof.of(index, log_q[0], -log_q[0, :, 0], 0.0123, {}, log_q[0].argmax(axis=1))
    return ExplainedForecast(forecast_score(oof, test, 0), oof, test)


def test_the_forecast_and_its_steps(paths: dict[str, Path]) -> None:
    made = _explained()
    page = forecast_page(_table(), paths, made, None)
    found = made.forecast
    assert f"<td>log loss</td><td>{found.log_loss:.4f}</td>" in page
    assert f"<td>{found.low:.4f} and {found.high:.4f}</td><td>–</td>" in page
    steps = [float(value) for value in re.findall(r'<td class="number">([-+.\d]+)</td>', page)]
    assert len(steps) == 5
    assert sum(steps[:4]) == pytest.approx(steps[4], abs=3e-4)
    assert steps[2] == 0.0123
    assert "Warning" not in page and "No forecast" not in page


def test_the_truth_beside_it(paths: dict[str, Path]) -> None:
    table = _table()
    labels = dict(zip(table["image_id"], table["class_1"], strict=True))
    wrong = table["image_id"].iloc[0]
    labels[wrong] = table["class_2"].iloc[0]
    page = forecast_page(table, paths, _explained(), TrueScores(0.4321, 0.9876, labels))
    assert "<td>0.4321</td>" in page and "<td>98.76%</td>" in page
    # In both lists of photos.
    assert len(re.findall("truth: ", page)) == 12
    assert len(re.findall('class="conflict">truth: ', page)) == 2


def test_the_hardest_photos_come_first(paths: dict[str, Path]) -> None:
    table = _table()
    page = forecast_page(table, paths, _explained(), None)
    shown = re.findall(r"<figcaption>(TEST_\d+)<br>", page)
    by_entropy = table.sort_values("entropy", ascending=False)["image_id"].tolist()
    assert shown == [*by_entropy, *table["image_id"]]
    assert page.count('src="data:image/jpeg') == 12 and page.count('src="data:image/png') == 1
    assert "K5 &lt;b&gt;" in page and "<b>" not in page and "라브4" in page
    assert "http" not in page


def test_a_warning_stands_on_top(paths: dict[str, Path]) -> None:
    made = _explained()
    shifted = replace(made.forecast, shift=Shift(0.4, 1e-9, 0.9, 0.6))
    page = forecast_page(_table(), paths, replace(made, forecast=shifted), None)
    assert page.index("Warning: the test photos are unlike") < page.index("<td>log loss</td>")


def test_no_forecast_says_why_and_shows_the_photos_all_the_same(paths: dict[str, Path]) -> None:
    page = forecast_page(_table(), paths, "nothing was tuned", TrueScores(0.5, 0.75, {}))
    assert "No forecast: nothing was tuned." in page
    assert "<td>true log loss</td><td>0.5000</td>" in page
    assert page.count("<figure>") == 12


def test_one_member_disagrees_with_nobody(tmp_path: Path) -> None:
    nowhere = {name: tmp_path / f"{name}.jpg" for name in _IDS}
    page = forecast_page(_table(members=1), nowhere, _explained(), None)
    assert "disagree" not in page
    assert page.count("<figure>gone") == 6


def test_an_ensemble_of_an_earlier_version_is_not_compared(
    paths: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    made = _explained()
    earlier = replace(made.oof, of_submitted=False)
    found = forecast_score(earlier, made.test, 0)
    page = forecast_page(_table(), paths, ExplainedForecast(found, earlier, made.test), None)
    assert "Warning: the ensemble was tuned by an earlier version" in page
    # Nothing is weighed: the second step of five.
    steps = re.findall(r'<td class="number">([-+.\d]+)</td>', page)
    assert steps[1] in ("+0.0000", "-0.0000")
    show_forecast(found, None)
    assert "tune again: mlflow run . -e tune" in capsys.readouterr().out

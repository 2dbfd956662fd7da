"""A test of the out-of-fold photos themselves: whatever was tuned, its forecast does not move."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from carvision.contracts import EnsembleOof, EnsembleSpec, Mixing
from carvision.data.submission_listing import SubmissionPhotos
from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.fold_averaging import FoldMixtures, TestFolds
from carvision.ensembling.forecast import Forecast, forecast_score
from carvision.ensembling.leaderboard import FittedBlend
from carvision.ensembling.mix import tempered
from carvision.metrics import true_class_column
from carvision.pipelines.ensemble.forecasting import make_forecast
from carvision.pipelines.ensemble.prediction import EnsemblePredictions
from carvision.pipelines.tune import methods
from carvision.pipelines.tune.methods import TuneResult, TuneSettings, tune_by_method
from carvision.pipelines.tune.oof_reports import oof_photos
from tests.ensembling.conftest import everything, folds_of, scorer_of
from tests.ensembling.synthetic import SyntheticMembers


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """Two members that are too sure, by different factors."""
    views = ("original", "hflip")
    return scorer_of(
        SyntheticMembers(
            photos=200, views=views, view_shift=(0.0, -1.0), temperatures=(2.5, 1.3)
        ).table()
    )


def _as_test(scorer: Scorer, tuned: FittedBlend) -> TestFolds:
    """The photos as `ensemble` predicts them, where each is seen by its own fold's models alone."""
    table, rows = scorer.table, everything(scorer)
    folds = FoldMixtures(tuned.blend.mixing, [1])
    for number in range(len(table.members)):
        own = np.flatnonzero((table.member_of == number) & (tuned.weights > 0))
        if len(own):
            log_p = np.stack([table.read(k, rows) for k in own.tolist()])
            log_p = tempered(log_p, np.full((len(own), 1, 1), tuned.blend.temperatures[number]))
            folds.add(tuned.weights[own], 1, log_p)
    return TestFolds.of(folds, np.exp(folds.log_probabilities(0, len(rows))[0]))


def _check(found: Forecast, oof: EnsembleOof) -> None:
    assert found.warning is None
    assert found.reweighted == pytest.approx(found.oof_log_loss, abs=1e-5)
    assert found.averaging_gain == pytest.approx(0, abs=1e-5)
    right = (oof.photos["predicted"] == oof.photos["class_index"]).mean()
    assert found.accuracy == pytest.approx(right, abs=1e-4)
    assert found.low < found.oof_log_loss < found.high


@pytest.mark.parametrize("method", ["study", "weights"])
@pytest.mark.parametrize("trials", [50, 200])
def test_whatever_was_tuned(
    method: str, trials: int, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(methods, "STUDY_STORAGE", None)
    parts = folds_of(scorer.table)
    result = tune_by_method(scorer, parts, TuneSettings(method, trials, seed=0, budget=None))
    oof = oof_photos(scorer, result, 0.0, {})
    # The losses stay the nested ones.
    nested = -result.tuned.nested_log_p
    np.testing.assert_allclose(oof.photos["log_loss"], nested)
    assert (result.nested.argmax(axis=1) == oof.photos["predicted"]).all()
    _check(forecast_score(oof, _as_test(scorer, result.tuned), 0), oof)


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.4, 3.0), (2.5, 1.3)])
def test_whatever_the_temperatures_and_the_mixing(
    mixing: Mixing, temperatures: tuple[float, float], scorer: Scorer
) -> None:
    blend = replace(Blend.plain(scorer.table, "equal"), mixing=mixing, temperatures=temperatures)
    weights = np.array([0.5, 0.0, 0.3, 0.2])
    # Judged by ensembles of other temperatures.
    judged = scorer.log_probabilities(
        replace(blend, temperatures=(1.5, 1.0)), weights, everything(scorer)
    )
    nested = true_class_column(judged, scorer.table.targets)
    tuned = FittedBlend.of(blend, weights, nested)
    oof = oof_photos(scorer, TuneResult(tuned, judged, None), 0.0, {})  # type: ignore[arg-type]
    _check(forecast_score(oof, _as_test(scorer, tuned), 0), oof)


def test_a_test_of_which_no_photo_could_be_read_has_no_forecast(scorer: Scorer) -> None:
    blend = Blend.plain(scorer.table, "equal")
    tuned = FittedBlend.of(blend, np.full(4, 0.25), np.zeros(200))
    oof = oof_photos(scorer, TuneResult(tuned, np.zeros((200, 6)), None), 0.0, {})  # type: ignore[arg-type]
    folds = FoldMixtures("arithmetic", [1])
    folds.add(np.ones(1), 1, np.zeros((1, 1, 6)))
    spec = EnsembleSpec.model_construct(members=(), mixing="arithmetic")
    photos = SubmissionPhotos(("1",), (Path("gone.jpg"),))
    predicted = EnsemblePredictions(spec, photos, [np.zeros((0, 1, 6))], folds)
    none = np.zeros(1, dtype=bool)
    assert make_forecast(oof, predicted, none, 0) == "no test photo could be predicted"

"""The main job inside one process: each step reads only what the one before left in MLflow."""

import base64
import shutil
import tempfile
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from carvision.config import Config, LoaderConfig, load_config, load_run_settings
from carvision.contracts import VIEWS, EnsembleSpec, read_predictions
from carvision.data.manifest import read_manifest
from carvision.errors import ConfigError, DataError, PredictionsError, TrackingError
from carvision.inference import ComputeSettings, PhotosToPredict, predict_member
from carvision.metrics import competition_log_loss, log_loss_of_true_class
from carvision.pipelines.ensemble.step import ensemble
from carvision.pipelines.prepare.prepared_data import prepared_data
from carvision.pipelines.train.step import train
from carvision.pipelines.tune.step import tune
from carvision.store.champions import crown_ensemble
from carvision.store.member_choice import superseded_by
from carvision.store.member_versions import MemberVersion
from carvision.store.runs import find_runs
from tests.conftest import SAME_CLASSES, write_photos

_SETTINGS = "data.folds=2 model.image_size=32 train.epochs=2 precision=fp32 device=cpu"
_CLASSES = ["K5_하이브리드", "Niro", "RAV4"]


def _config(model: str, extra: str = "") -> Config:
    groups = str(SAME_CLASSES).replace("'", "").replace(" ", "")
    return load_config(model, overrides=f"{_SETTINGS} data.same_classes={groups} {extra}")


@pytest.fixture(scope="module")
def members(store: Path, photos: Path) -> list[MemberVersion]:
    """Two backbones; the folds of the first were trained one by one."""
    with pytest.raises(TrackingError, match=r"mlflow run \. -e train"):
        ensemble(
            _config("efficientnet_lite0"),
            str(photos),
            test="",
            output=store / "early.csv",
            tta_steps=5,
        )
    first = _config("efficientnet_lite0")
    (incomplete,) = train([first], str(photos), "1", "auto")
    assert incomplete.entry.tags["folds"] == "1/2"
    return train([first, _config("efficientnet_lite1")], "latest", "all", "auto")


@pytest.fixture(scope="module")
def untuned(members: list[MemberVersion], store: Path, photos: Path) -> pd.DataFrame:
    """The submission by the plan's weights, written before anything was tuned."""
    config = _config("efficientnet_lite0")
    path = ensemble(config, "latest", test="", output=store / "plan.csv", tta_steps=2)
    return pd.read_csv(path, encoding="utf-8-sig")


@pytest.fixture(scope="module")
def spec(untuned: pd.DataFrame) -> EnsembleSpec:
    """The tuned ensemble."""
    return tune(_config("efficientnet_lite0"), "latest", [], 30)


@pytest.fixture(scope="module")
def submission(spec: EnsembleSpec, store: Path) -> pd.DataFrame:
    """What the tuned ensemble submits."""
    config = _config("efficientnet_lite0")
    path = ensemble(config, "latest", test="", output=store / "submission.csv", tta_steps=5)
    return pd.read_csv(path, encoding="utf-8-sig")


def test_folds_of_other_days_join_one_set(members: list[MemberVersion]) -> None:
    first = members[0]
    assert (first.folds, first.entry.tags["folds"], first.version) == ((1, 2), "2/2", 2)
    runs = find_runs("fold", {"carvision.set": first.entry.tags["carvision.set"]})
    assert len(runs) == 2, "fold 1 was trained again"
    parents = {run.data.tags["mlflow.parentRunId"] for run in runs}
    assert len(parents) == 2


def test_a_version_of_fewer_folds_is_superseded(members: list[MemberVersion]) -> None:
    assert superseded_by(members[0]) == [1]
    assert superseded_by(members[1]) == []


def test_a_version_keeps_no_copy_of_its_folds_weights(
    members: list[MemberVersion], tmp_path: Path
) -> None:
    kept = {path.stat().st_ino for path in Path("mlruns").rglob("checkpoint/best.safetensors")}
    for member in members:
        # Links to the version's files.
        bundle = member.fetch(tmp_path / member.preset)
        weights = list(bundle.folder.glob("*.safetensors"))
        assert len(weights) == len(member.folds)
        assert {path.stat().st_ino for path in weights} <= kept


def test_a_second_training_takes_everything_over(members: list[MemberVersion]) -> None:
    before = len(find_runs("fold", {}))
    (again,) = train([_config("efficientnet_lite0")], "latest", "all", "auto")
    assert again.version == members[0].version
    assert len(find_runs("fold", {})) == before


def test_fold_runs_hold_what_the_contract_says(
    members: list[MemberVersion], photos: Path, tmp_path: Path
) -> None:
    prepared = find_runs("prepare", {})[0]
    folder = mlflow.artifacts.download_artifacts(
        run_id=prepared.info.run_id, artifact_path="manifest", dst_path=str(tmp_path)
    )
    manifest = read_manifest(Path(folder))
    assert list(manifest.classes.names) == _CLASSES
    for fold, run_id in zip(members[0].folds, members[0].fold_runs, strict=True):
        metrics = MlflowClient().get_run(run_id).data.metrics
        assert {"train/loss", "val/log_loss", "val/accuracy", "val/top5", "val/ece", "lr"} <= set(
            metrics
        )
        history = MlflowClient().get_metric_history(run_id, "val/log_loss")
        assert min(point.value for point in history) == metrics["best/val_log_loss"]
        into = tmp_path / run_id
        into.mkdir()
        stored = read_predictions(
            Path(
                mlflow.artifacts.download_artifacts(
                    run_id=run_id, artifact_path="predictions", dst_path=str(into)
                )
            )
        )
        assert stored.views == VIEWS
        _, validation = manifest.split(fold)
        assert stored.index["image_id"].tolist() == validation["image_id"].tolist()
        assert np.allclose(np.exp(stored.log_probabilities).sum(axis=2), 1, atol=1e-5)
        original = stored.true_class().log_probabilities[0]
        assert log_loss_of_true_class(original) == pytest.approx(metrics["best/val_log_loss"])


def test_tuning_never_ends_above_the_best_member(
    spec: EnsembleSpec, members: list[MemberVersion]
) -> None:
    assert spec.score is not None
    assert spec.score.log_loss <= min(member.oof_log_loss for member in members) + 1e-9
    assert spec.score.images == 32
    assert [m.version for m in spec.members] == [member.version for member in members]


def test_the_submission_follows_the_template(submission: pd.DataFrame, photos: Path) -> None:
    template = pd.read_csv(photos / "sample_submission.csv", encoding="utf-8-sig")
    assert submission.columns.tolist() == template.columns.tolist()
    assert submission["ID"].tolist() == template["ID"].tolist()
    assert (submission["K5_하이브리드"] == submission["K5_Hybrid"]).all()
    assert np.allclose(submission[_CLASSES].sum(axis=1), 1)


def test_the_test_score_counts_merged_classes_as_one(
    submission: pd.DataFrame, photos: Path
) -> None:
    table = pd.read_csv(photos / "answers.csv", encoding="utf-8-sig")
    # The answers use both names of the pair; one of them stands for both.
    answers = table["label"].replace("K5_Hybrid", "K5_하이브리드").tolist()
    assert answers != table["label"].tolist()
    logged = find_runs("ensemble", {})[0].data.metrics["test/log_loss"]
    assert logged == pytest.approx(competition_log_loss(answers, submission))


def test_the_plan_is_used_while_nothing_is_tuned(
    untuned: pd.DataFrame, submission: pd.DataFrame
) -> None:
    assert untuned.shape == submission.shape
    assert not np.allclose(untuned["Niro"], submission["Niro"])


def test_anyone_can_load_the_ensemble(
    submission: pd.DataFrame, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model = mlflow.pyfunc.load_model("models:/carvision-ensemble@champion")
    # A server that is killed leaves no weights behind: they are in memory.
    assert not list(tmp_path.rglob("*.safetensors"))
    paths = [photos / "test" / f"{identifier}.jpg" for identifier in submission["ID"]]
    encoded = [base64.b64encode(path.read_bytes()).decode() for path in paths]
    raw = [path.read_bytes() for path in paths]
    table = model.predict(pd.DataFrame({"image": encoded}))
    assert table.columns.tolist() == _CLASSES
    assert np.allclose(table.sum(axis=1), 1)
    # The members were trained in fp32, which the model keeps wherever it is loaded.
    np.testing.assert_allclose(table["Niro"], submission["Niro"], atol=1e-5)
    pd.testing.assert_frame_equal(model.predict(pd.DataFrame({"image": raw})), table)
    with pytest.raises((DataError, MlflowException), match="paths are off"):
        model.predict(pd.DataFrame({"image": [str(paths[0])]}))
    allowing = mlflow.pyfunc.load_model(
        "models:/carvision-ensemble@champion", model_config={"allow_paths": True}
    )
    by_path = allowing.predict(pd.DataFrame({"image": [str(path) for path in paths]}))
    pd.testing.assert_frame_equal(by_path, table)


def test_anyone_can_load_a_backbone(
    members: list[MemberVersion], photos: Path, tmp_path: Path
) -> None:
    model = mlflow.pyfunc.load_model("models:/carvision-efficientnet_lite1@champion")
    path = next((photos / "train" / "Niro").iterdir())
    table = model.predict(pd.DataFrame({"image": [path.read_bytes()]}))
    assert table.columns.tolist() == _CLASSES
    bundle = members[1].fetch(tmp_path)
    compute = ComputeSettings("cpu", "fp32", batch_size=1, loader=LoaderConfig(workers=0))
    original = predict_member(bundle, PhotosToPredict([path]), {"original": 1.0}, compute)[0, 0]
    np.testing.assert_allclose(table.loc[0], original, atol=1e-5)


def test_the_better_nested_score_is_crowned(
    spec: EnsembleSpec, members: list[MemberVersion]
) -> None:
    champion = MlflowClient().get_model_version_by_alias("carvision-ensemble", "champion")
    worst = max(members, key=lambda member: member.oof_log_loss)
    alone = tune(_config("efficientnet_lite0"), "latest", [worst.preset], 15)
    assert alone.score is not None and spec.score is not None
    assert alone.score.log_loss > spec.score.log_loss
    assert alone.score.nested is not None and spec.score.nested is not None
    holder = MlflowClient().get_model_version_by_alias("carvision-ensemble", "champion")
    # By the fitted score it is the worse one; of so few photos the nested one may say otherwise.
    better = alone.score.nested < spec.score.nested
    assert (holder.version != champion.version) == better
    # What follows is of the ensemble of both.
    crown_ensemble(int(champion.version))


def test_what_a_tune_run_keeps(spec: EnsembleSpec, members: list[MemberVersion]) -> None:
    version = MlflowClient().get_model_version_by_alias("carvision-ensemble", "champion")
    run = mlflow.get_run(version.run_id)
    artifacts = {item.path for item in MlflowClient().list_artifacts(version.run_id)}
    assert artifacts >= {
        "ensemble.html",
        "ensemble.json",
        "forecast_inputs.json",
        "leaderboard.csv",
        "oof.parquet",
        "subsets.csv",
        "suspicious_labels.csv",
        "suspicious_labels.html",
    }
    metrics, score = run.data.metrics, spec.score
    assert score is not None and score.nested is not None
    assert score.low is not None and score.high is not None
    assert metrics["oof/nested_log_loss"] == pytest.approx(score.nested)
    assert score.low < score.nested < score.high
    # Of the weights that are registered, where these are the exact rule's.
    gaps = {name: value for name, value in metrics.items() if "duality_gap" in name}
    assert len(gaps) == 1 and max(gaps.values()) <= 1e-8
    assert metrics["oof/selection_optimism"] >= 0
    text = mlflow.artifacts.load_text(f"runs:/{version.run_id}/leaderboard.csv")
    board = pd.read_csv(StringIO(text))
    expected = {"tuned", "exact", "equal", "plan", "inverse", "best", "greedy"}
    assert set(board["name"]) == expected | {f"{m.preset} original" for m in members}
    assert run.data.params["rule"] != "raw weights by TPE"
    # Prediction was timed in every fold.
    assert (board["cost"] > 0).all()
    assert (
        len(
            pd.read_csv(StringIO(mlflow.artifacts.load_text(f"runs:/{version.run_id}/subsets.csv")))
        )
        == 3
    )


def test_suspicious_labels_lie_where_the_printed_command_finds_them(
    spec: EnsembleSpec, store: Path
) -> None:
    newest = find_runs("tune", {})[0].info.run_id
    text = mlflow.artifacts.load_text(f"runs:/{newest}/suspicious_labels.csv")
    assert (store / "suspicious_labels.csv").read_text(encoding="utf-8") == text


def test_raw_weights_are_tuned_for_comparison(
    spec: EnsembleSpec, members: list[MemberVersion]
) -> None:
    raw = tune(_config("efficientnet_lite0"), "latest", [], 15, method="weights")
    assert raw.mixing == "arithmetic"
    assert {t for member in raw.members for t in member.temperatures.values()} == {1.0}
    (run,) = mlflow.search_runs(
        filter_string="tags.`carvision.stage` = 'tune'", max_results=1, output_format="list"
    )
    assert "nested log loss on 32 photos" in run.data.tags["carvision.comparison"]
    assert run.data.params["rule"] == "raw weights by TPE"
    assert "exact/duality_gap_untempered" in run.data.metrics


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "magic"}, "method='magic': expected one of study, weights"),
        ({"method": "weights", "budget": 3.0}, "budget: method=weights uses every view"),
        ({"budget": 1e-9}, "budget=1e-09: no ensemble costs so little"),
    ],
)
def test_what_cannot_be_tuned_is_refused(
    options: dict[str, Any], message: str, spec: EnsembleSpec
) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(_config("efficientnet_lite0"), "latest", [], 5, **options)


def test_the_same_result_is_not_registered_again(
    spec: EnsembleSpec, members: list[MemberVersion]
) -> None:
    names = [member.preset for member in members]
    before = len(MlflowClient().search_model_versions("name = 'carvision-ensemble'"))
    assert tune(_config("efficientnet_lite0"), "latest", names, 30) == spec
    after = len(MlflowClient().search_model_versions("name = 'carvision-ensemble'"))
    assert after == before


def test_predicting_needs_no_training_photo(
    submission: pd.DataFrame, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos / "test", tmp_path / "elsewhere")
    settings = load_run_settings("ensemble", device="cpu")
    source, output = str(tmp_path / "elsewhere"), tmp_path / "out.csv"
    ensemble(settings, "latest", test=source, output=output, tta_steps=5)
    table = pd.read_csv(output, encoding="utf-8-sig")
    # No template lies beside these photos: the columns are the classes' folders, sorted.
    assert table.columns.tolist() == ["ID", "K5_Hybrid", "K5_하이브리드", "Niro", "RAV4"]
    # The members were trained in fp32, and are predicted so without being told.
    assert sorted(table["Niro"]) == sorted(submission["Niro"])


def test_a_smoke_run_stays_out_of_the_ensemble(
    spec: EnsembleSpec, members: list[MemberVersion]
) -> None:
    trial = _config("efficientnet_lite2", "train.max_steps=1 train.batch_size=4")
    (version,) = train([trial], "latest", "1", "auto")
    assert version.smoke_run
    whole = MlflowClient().get_model_version_by_alias("carvision-efficientnet_lite1", "champion")
    (cut,) = train(
        [_config("efficientnet_lite1", "train.max_steps=1 train.batch_size=4 data.split_seed=9")],
        "latest",
        "1",
        "auto",
    )
    assert cut.smoke_run and cut.data != members[1].data
    holder = MlflowClient().get_model_version_by_alias("carvision-efficientnet_lite1", "champion")
    assert holder.version == whole.version, "a smoke run on other data took the champion's place"
    restored = _config("efficientnet_lite0", "data.split_seed=0")
    train([restored], "latest", "all", "auto")
    again = tune(_config("efficientnet_lite0"), "latest", [], 15)
    assert {m.preset for m in again.members} == {"efficientnet_lite0", "efficientnet_lite1"}


def test_members_without_a_common_photo_are_refused(
    spec: EnsembleSpec, members: list[MemberVersion]
) -> None:
    for model, fold in {"efficientnet_lite0": "1", "efficientnet_lite1": "2"}.items():
        train([_config(model, "seed=7 data.split_seed=3")], "latest", fold, "auto")
    names = [member.preset for member in members]
    with pytest.raises(PredictionsError, match="no photo was predicted out of fold by all"):
        tune(_config("efficientnet_lite0", "data.split_seed=3"), "latest", names, 15)


def test_other_data_with_other_classes_is_refused_by_the_champion(
    spec: EnsembleSpec, tmp_path: Path
) -> None:
    other = write_photos(tmp_path / "other", seed=1)
    (other / "train" / "Niro").rename(other / "train" / "Sorento")
    template = (other / "sample_submission.csv").read_text(encoding="utf-8-sig")
    (other / "sample_submission.csv").write_text(template.replace("Niro", "Sorento"))
    with pytest.raises(DataError, match="no column for 1 of 3 trained classes: \\['Niro'\\]"):
        ensemble(
            _config("efficientnet_lite0"),
            str(other),
            test="",
            output=tmp_path / "s.csv",
            tta_steps=5,
        )
    assert not (tmp_path / "s.csv").exists()


def test_prepared_data_of_other_classes_is_refused_without_a_template(
    spec: EnsembleSpec, tmp_path: Path
) -> None:
    other = write_photos(tmp_path / "other", seed=2)
    (other / "train" / "Niro").rename(other / "train" / "Sorento")
    (other / "sample_submission.csv").unlink()
    config = load_config(overrides="data.folds=2")
    prepared_data(config, str(other))
    with pytest.raises(DataError, match=r"of other classes .* tune on this data first"):
        ensemble(config, str(other), test="", output=tmp_path / "s.csv", tta_steps=5)

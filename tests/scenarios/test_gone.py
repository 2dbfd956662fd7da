"""What the store names and does not have any more counts as absent, and is said."""

import logging
import shutil
from pathlib import Path

import mlflow
import pytest

from carvision.config import Config, load_config
from carvision.errors import DataError, GoneError, TrackingError
from carvision.pipelines.prepare.prepared_data import known_manifest, prepared_data
from carvision.pipelines.prepare.step import prepare
from carvision.pipelines.train import fold_run
from carvision.pipelines.train.step import train
from carvision.store.artifacts import fetch
from carvision.store.client import client
from carvision.store.fold_sets import usable_folds
from carvision.store.member_choice import choose_members
from carvision.store.member_versions import MemberVersion
from carvision.store.prepared import prepared_runs
from tests.conftest import write_photos


@pytest.fixture(scope="module")
def config() -> Config:
    settings = "data.folds=2 model.image_size=32 train.epochs=1 device=cpu precision=fp32"
    return load_config("efficientnet_lite0", overrides=settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), per_class=4, test=2)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The folds that were really trained, in order."""
    folds = []
    train_fold = fold_run.train_fold

    def counted(job, *others):
        folds.append(job.fold)
        return train_fold(job, *others)

    monkeypatch.setattr(fold_run, "train_fold", counted)
    return folds


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "carvision")
    return caplog


def _train(config: Config, root: Path) -> MemberVersion:
    (version,) = train([config], str(root), "all", "auto")
    return version


def _place(run_id: str, *below: str) -> Path:
    return Path(client().get_run(run_id).info.artifact_uri).joinpath(*below)


def _model(version: MemberVersion) -> Path:
    return Path(client().get_model_version_download_uri(version.name, str(version.version)))


def test_a_project_whose_files_go_one_after_the_other(
    store: Path, config: Config, root: Path, trained: list[int], said: pytest.LogCaptureFixture
) -> None:
    first = _train(config, root)
    assert trained == [1, 2]
    # A manifest: the photos are prepared again, and nothing is trained twice.
    (prepared,) = prepared_runs()
    shutil.rmtree(_place(prepared.run.info.run_id, "manifest"))
    assert _train(config, root).version == first.version
    assert trained == [1, 2]
    assert "its data counts as not prepared" in said.text
    assert "the photos changed" not in said.text
    # A fold's weights: it is trained again, the other one is not.
    shutil.rmtree(_place(first.fold_runs[1], "checkpoint"))
    second = _train(config, root)
    assert trained == [1, 2, 2]
    assert f"in run {first.fold_runs[1]}, which has no checkpoint/best.safetensors" in said.text
    assert second.version != first.version
    assert second.fold_runs[0] == first.fold_runs[0]
    # A version's weights: a sound one stands beside it, until it is registered anew.
    shutil.rmtree(_model(second))
    (chosen,) = choose_members(first.data, ())
    assert chosen.version == first.version
    gone = f"passed over: {second.name} version {second.version}, its weights were removed"
    assert gone in said.text
    third = _train(config, root)
    assert trained == [1, 2, 2]
    assert (third.version, third.fold_runs) == (second.version + 1, second.fold_runs)
    # One file of a fold's predictions: the version is passed over, and the fold is trained again.
    for name in ("index.parquet", "views.json", "log_probabilities.npy"):
        kept = _place(third.fold_runs[1], "predictions", name)
        kept.rename(kept.with_suffix(".gone"))
        assert usable_folds(third.entry.tags["carvision.set"]).keys() == {1}
        (chosen,) = choose_members(first.data, ())
        assert chosen.version == first.version
        kept.with_suffix(".gone").rename(kept)
    # A run, deleted for good: the versions that need its predictions are passed over.
    client().delete_run(third.fold_runs[1])
    shutil.rmtree(_place(third.fold_runs[1]))
    assert usable_folds(third.entry.tags["carvision.set"]).keys() == {1}
    (chosen,) = choose_members(first.data, ())
    assert chosen.version == first.version
    # All of it.
    shutil.rmtree(store / "mlruns")
    with pytest.raises(TrackingError, match="train first: mlflow run"):
        choose_members(first.data, ())
    assert known_manifest(config, "latest").fingerprint == first.data
    fourth = _train(config, root)
    assert trained == [1, 2, 2, 1, 2]
    assert choose_members(first.data, ())[0].version == fourth.version


def test_a_list_of_photos_that_is_gone_is_asked_for(
    store: Path, config: Config, root: Path, tmp_path: Path
) -> None:
    photo = prepared_data(config, str(root)).manifest.frame["image_id"].iloc[0]
    listed = tmp_path / "list.csv"
    listed.write_text(f"image_id\n{photo}\n", encoding="utf-8")
    prepare(config, str(root), str(listed))
    # Another run keeps the same list.
    prepare(config, str(root))
    newest, before, *_ = prepared_runs()
    shutil.rmtree(_place(newest.run.info.run_id, "manifest"))
    taken = prepared_data(config, str(root)).manifest
    assert photo not in set(taken.usable["image_id"])
    shutil.rmtree(_place(before.run.info.run_id, "manifest"))
    for run in prepared_runs():
        shutil.rmtree(_place(run.run.info.run_id, "manifest"), ignore_errors=True)
    with pytest.raises(DataError, match=r"-P exclude=list.csv \(exclude=none") as caught:
        prepared_data(config, str(root))
    assert str(root) in str(caught.value)
    prepare(config, str(root), "none")
    assert photo in set(prepared_data(config, str(root)).manifest.usable["image_id"])


def test_a_run_that_is_gone_is_named(store: Path, tmp_path: Path) -> None:
    with mlflow.start_run() as run:
        mlflow.log_text("content", "folder/file.txt")
    assert fetch(run.info.run_id, "folder/file.txt", tmp_path).exists()
    for run_id, path in ((run.info.run_id, "folder/other.txt"), ("0" * 32, "folder/file.txt")):
        with pytest.raises(GoneError, match=f"run {run_id} has no {path} any more"):
            fetch(run_id, path, tmp_path)

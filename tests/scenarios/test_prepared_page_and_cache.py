"""What `prepare` and `train` leave for a reader, and training from the cache."""

import json
import logging
import shutil
import unicodedata
from pathlib import Path

import mlflow
import pytest
from PIL import Image

from carvision.config import load_config
from carvision.errors import DataError
from carvision.pipelines.prepare.prepared_data import prepared_data
from carvision.pipelines.prepare.step import prepare
from carvision.pipelines.train import description
from carvision.pipelines.train.step import train
from carvision.store.runs import find_runs
from carvision.workspace import CACHES
from tests.conftest import write_photos

_SETTINGS = "data.folds=2 model.image_size=32 train.epochs=1 device=cpu precision=fp32"


def _artifact(run, path: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=path))


def _train(root: Path, extra: str = "", model: str = "efficientnet_lite0") -> None:
    train([load_config(model, overrides=f"{_SETTINGS} {extra}")], str(root), "1", "auto")


def test_prepare_logs_its_page_and_the_data_set(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos")
    (root / "train" / "Niro" / "broken.jpg").write_bytes(b"no photo")
    manifest = prepare(load_config(overrides="data.folds=2"), str(root)).manifest
    (run,) = find_runs("prepare", {"carvision.data": manifest.fingerprint})
    page = _artifact(run, "data.html").read_text(encoding="utf-8")
    assert "train/Niro/broken.jpg</td><td>unreadable: not an image" in page
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.digest == manifest.fingerprint
    assert entry.dataset.name == "photos"
    assert json.loads(entry.dataset.source)["uri"] == root.resolve().as_uri()
    assert json.loads(entry.dataset.profile)["num_rows"] == 32


def test_a_training_run_shows_its_data_and_its_augmentation(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos")
    _train(root, "data.cache=off")
    run = find_runs("train", {})[0]
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.digest == run.data.tags["carvision.data"]
    with Image.open(_artifact(run, "augmentation.jpg")) as sheet:
        assert sheet.size == (8 * 160, 4 * 160)


def test_training_from_the_cache(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_photos(tmp_path / "photos")
    shutil.rmtree(CACHES, ignore_errors=True)
    with caplog.at_level(logging.INFO, "carvision"):
        _train(root, "data.cache=64")
    assert "keeping the photos at 64 px for training: 0.00 GiB" in caplog.text
    (cache,) = CACHES.glob("*-64px")
    written = (cache / "index.json").stat().st_mtime_ns
    caplog.clear()
    # Another backbone, and another fold, read what is there.
    with caplog.at_level(logging.INFO, "carvision"):
        _train(root, "data.cache=64", "efficientnet_lite1")
    assert "keeping" not in caplog.text
    assert (cache / "index.json").stat().st_mtime_ns == written
    losses = [run.data.metrics["best/val_log_loss"] for run in find_runs("fold", {})]
    assert all(0 < loss < 5 for loss in losses)


def test_no_cache_where_it_does_not_help(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_photos(tmp_path / "photos")
    shutil.rmtree(CACHES, ignore_errors=True)
    with caplog.at_level(logging.INFO, "carvision"):
        # The photos are no larger than a cached one; a cache that would blur; no cache wanted.
        _train(root, "data.cache=auto seed=7")
        _train(root, "data.cache=32 seed=7")
        _train(root, "data.cache=off seed=7")
    assert not CACHES.exists()
    assert "data.cache=32 is too small for efficientnet_lite0" in caplog.text


def test_a_photo_that_goes_away_while_training_is_named(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos")
    config = load_config(overrides=f"{_SETTINGS} data.cache=off seed=5")
    prepared = prepared_data(config, str(root))
    gone = prepared.manifest.split(1)[0]["path"].iloc[0]

    def vanish(*args: object) -> None:
        (root / gone).unlink(missing_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        # After the data was checked, before the first photo is read.
        patch.setattr(description, "log_data_input", vanish)
        with pytest.raises(DataError, match=rf"{Path(gone).name} cannot be read: .*No such file"):
            train([config], str(root), "1", "auto")


def test_classes_that_differ_in_unicode_form_alone_are_one(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos")
    name = "K5_하이브리드"
    twin = root / "train" / unicodedata.normalize("NFD", name)
    twin.mkdir(exist_ok=True)
    shutil.copy(root / "train" / "Niro" / "Niro_0000.jpg", twin / "another.jpg")
    manifest = prepare(load_config(overrides="data.folds=2"), str(root)).manifest
    assert len(manifest.classes.names) == 4
    rows = manifest.frame[manifest.frame["label"] == name]
    assert len(rows) == 9
    # The same photo under the same name in both folders is a question, not an answer.
    shutil.copy(twin / "another.jpg", root / "train" / name / "another.jpg")
    with pytest.raises(DataError, match="differ only in the Unicode form"):
        prepare(load_config(overrides="data.folds=2"), str(root))


def test_what_is_passed_over_is_said(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_photos(tmp_path / "photos")
    for name in ("a.heic", "b.HEIC", "notes.txt"):
        (root / "train" / "Niro" / name).write_bytes(b"x")
    (root / "train" / "Empty").mkdir()
    with caplog.at_level(logging.INFO, "carvision"):
        prepare(load_config(overrides="data.folds=2"), str(root))
    assert "passed over, no photo formats that are read here: .heic (2), .txt (1)" in caplog.text
    assert "class folders without a photo, so no classes: Empty" in caplog.text


def test_a_folder_one_level_too_high(store: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "outer" / "cars")
    with pytest.raises(DataError, match=r"did you mean data=.*outer/cars\?"):
        prepare(load_config(), str(tmp_path / "outer"))


def test_a_disk_too_small_for_the_cache_is_said_before_training(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_photos(tmp_path / "photos")
    shutil.rmtree(CACHES, ignore_errors=True)
    monkeypatch.setattr("carvision.data.loading.cache.PhotoCache.fits", lambda self: False)
    with pytest.raises(DataError, match=r"more than half of the free disk: .*data\.cache=off"):
        _train(root, "data.cache=64 seed=9")
    _train(root, "data.cache=off seed=9")

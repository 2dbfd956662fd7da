"""Bad input is refused with what and where, before any training."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from carvision.config import load_config
from carvision.data.folder.layout import Layout
from carvision.errors import CarvisionError, ConfigError, DataError, TrackingError, WeightsError
from carvision.pipelines.ensemble.step import ensemble, find_test
from carvision.pipelines.main import main
from carvision.pipelines.prepare.prepared_data import find_layout, prepared_data
from carvision.pipelines.prepare.step import prepare
from carvision.pipelines.train.step import train
from carvision.pipelines.tune.step import tune
from carvision.store.runs import find_runs
from tests.conftest import write_photos

_SETTINGS = "data.folds=2 model.image_size=32 train.epochs=1 device=cpu"


def _prepare(root: Path, settings: str = _SETTINGS) -> None:
    prepare(load_config(overrides=settings), str(root))


def _main(root: Path) -> None:
    config = load_config(overrides=_SETTINGS)
    main([config], str(root), test="", trials=1, tta_steps=5, output=root / "submission.csv")


def _without_test_photo(root: Path) -> None:
    (root / "test" / "TEST_00003.jpg").unlink()
    _main(root)


def _template_without_class(root: Path) -> None:
    path = root / "sample_submission.csv"
    pd.read_csv(path, encoding="utf-8-sig").drop(columns="Niro").to_csv(path, index=False)
    _main(root)


def _template_of_other_photos(root: Path) -> None:
    path = root / "sample_submission.csv"
    table = pd.read_csv(path, encoding="utf-8-sig")
    table["ID"] = table["ID"].str.replace("TEST_00000", "TEST_99999")
    table.to_csv(path, index=False)
    _main(root)


def _no_photo(root: Path) -> None:
    for path in (root / "train").rglob("*.jpg"):
        path.rename(path.with_suffix(".txt"))
    _prepare(root)


def _all_broken(root: Path) -> None:
    for path in (root / "train").rglob("*.jpg"):
        path.write_text("not a photo")
    _prepare(root)


def _tta_steps(root: Path) -> None:
    config = load_config(overrides=_SETTINGS)
    ensemble(config, str(root), test="", output=root / "submission.csv", tta_steps=6)


def _train(root: Path, model: str = "efficientnet_lite0", fold: str = "1", **kw: str) -> None:
    train([load_config(model, **kw)], str(root), fold, "auto")


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (lambda root: _prepare(root / "nowhere"), DataError, "nowhere does not exist"),
        (_no_photo, DataError, "holds no photo"),
        (_all_broken, DataError, "none of the 32 photos"),
        (
            lambda root: _prepare(root, "data.folds=9"),
            DataError,
            r"4 classes have fewer distinct photos than data.folds=9: .*Niro \(8\)",
        ),
        (_without_test_photo, DataError, r"test.csv, line 5: the photo '\./test/TEST_00003.jpg'"),
        (_template_without_class, DataError, r"no column for 1 of 4 trained classes: \['Niro'\]"),
        (_template_of_other_photos, DataError, "TEST_99999"),
        (_tta_steps, ConfigError, "tta_steps=6: expected 1 to 5"),
        (lambda root: _train(root, "swin"), ConfigError, "did you mean 'swin_large'"),
        (lambda root: _train(root, recipe="finetun"), ConfigError, "did you mean 'finetune'"),
        (
            lambda root: _train(root, overrides="train.epoch=1"),
            ConfigError,
            "unknown key 'train.epoch' .did you mean 'train.epochs'",
        ),
        (
            lambda root: _train(root, fold="9", overrides=_SETTINGS),
            ConfigError,
            "this data has the folds 1 to 2",
        ),
        (
            lambda root: tune(load_config(overrides=_SETTINGS), str(root), [], 5),
            TrackingError,
            "train first: mlflow run . -e train -P model=efficientnet_lite0",
        ),
    ],
)
def test_refused(
    run: Callable[[Path], None],
    kind: type[CarvisionError],
    message: str,
    store: Path,
    tmp_path: Path,
) -> None:
    root = write_photos(tmp_path / "photos")
    with pytest.raises(kind, match=message):
        run(root)
    assert find_runs("fold", {}) == []
    assert not list(root.glob("submission.csv"))


def test_no_weights_is_an_error_before_any_work(
    store: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object) -> None:
        raise OSError("no route to the hub")

    monkeypatch.setattr("carvision.models.weights.hf_hub_download", unreachable)
    runs = len(find_runs("prepare", {}))
    with pytest.raises(WeightsError) as caught:
        _train(photos, "swin_large")
    for way in ("hub", "model.weights=FILE", "model.pretrained=false"):
        assert way in str(caught.value)
    assert len(find_runs("prepare", {})) == runs


def test_prepared_data_is_used_again_until_it_changes(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos")
    config = load_config(overrides="data.folds=4")
    first = prepared_data(config, str(root)).manifest
    runs = len(find_runs("prepare", {}))
    # Folds that nobody asks for stay as they were prepared.
    assert prepared_data(load_config(), str(root)).manifest.fingerprint == first.fingerprint
    assert len(find_runs("prepare", {})) == runs
    (root / "train" / "Niro" / "Niro_0000.jpg").unlink()
    second = prepared_data(load_config(), "latest").manifest
    assert second.folds == 4
    assert second.fingerprint != first.fingerprint
    assert prepared_data(load_config(overrides="data.folds=2"), "latest").manifest.folds == 2


def test_latest_is_the_data_that_was_used_last(store: Path, tmp_path: Path) -> None:
    config = load_config(overrides="data.folds=2")
    one = write_photos(tmp_path / "one")
    two = write_photos(tmp_path / "two")
    for root in (one, two, one):
        prepared_data(config, str(root))
    assert prepared_data(config, "latest").layout == Layout.at(one)


def test_a_zip_is_the_same_data_as_its_folder(store: Path, tmp_path: Path) -> None:
    config = load_config(overrides="data.folds=2")
    root = write_photos(tmp_path / "photos")
    archive = Path(shutil.make_archive(str(tmp_path / "open"), "zip", root))
    from_zip = prepared_data(config, str(archive))
    assert from_zip.manifest.fingerprint == prepared_data(config, str(root)).manifest.fingerprint
    runs = len(find_runs("prepare", {}))
    assert prepared_data(config, str(archive)).layout == from_zip.layout
    assert len(find_runs("prepare", {})) == runs
    photos, beside = find_test("latest", str(archive))
    assert (len(photos.ids), beside) == (6, from_zip.layout)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("open.tar.gz", b"\x1f\x8b\x08", "is a gzip archive .* unpack it by hand"),
        ("open.7z", b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive, .* unpack it by hand"),
        ("open", b"PK\3\4", r"is a zip, .*: rename it to \.zip"),
        ("open.zip", b"<html>", "is a web page"),
        ("open.ZIP", b"", "it is empty: download it again"),
        ("open.rar", b"no archive", "is not a folder"),
    ],
)
def test_a_file_that_is_no_zip_is_told_apart(
    store: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        find_layout(str(tmp_path / name))


def test_copies_share_a_fold_and_are_not_validated_under_two_labels(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_photos(tmp_path / "photos")
    china, flower = (Image.fromarray(image) for image in load_sample_images().images)
    china.save(root / "train" / "Niro" / "china.jpg")
    china.resize((400, 260)).save(root / "train" / "Niro" / "china_small.jpg", quality=60)
    flower.save(root / "train" / "Niro" / "flower.jpg")
    flower.save(root / "train" / "RAV4" / "flower.png")
    with caplog.at_level(logging.INFO, "carvision"):
        manifest = prepared_data(load_config(overrides="data.folds=2"), str(root)).manifest
    rows = manifest.frame.set_index("image_id")
    copies = rows.loc[["train/Niro/china.jpg", "train/Niro/china_small.jpg"]]
    assert copies["group"].nunique() == 1
    assert copies["fold"].nunique() == 1 and (copies["fold"] > 0).all()
    conflicts = ["train/Niro/flower.jpg", "train/RAV4/flower.png"]
    assert manifest.conflicts["image_id"].tolist() == conflicts
    assert "several labels, kept out of validation: " + ", ".join(conflicts) in caplog.text
    for fold in (1, 2):
        training, validation = manifest.split(fold)
        assert set(conflicts) <= set(training["image_id"])
        assert not set(conflicts) & set(validation["image_id"])


def test_an_exclusion_list_stays_in_force(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos")
    config = load_config(overrides="data.folds=2")
    listed = "train/Niro/Niro_0003.jpg"
    table = tmp_path / "list.csv"
    table.write_text(f"image_id,reason\n{listed},a dashboard\n")
    manifest = prepare(config, str(root), str(table)).manifest
    row = manifest.frame.set_index("image_id").loc[listed]
    assert (row["excluded"], row["fold"]) == ("listed: a dashboard", 0)
    assert listed not in set(manifest.usable["image_id"])
    assert prepared_data(config, str(root)).manifest.fingerprint == manifest.fingerprint
    (root / "train" / "RAV4" / "RAV4_0000.jpg").unlink()
    again = prepared_data(load_config(overrides="data.folds=3"), "latest").manifest
    assert again.frame.set_index("image_id").loc[listed, "excluded"] == "listed: a dashboard"
    freed = prepare(config, str(root), "none").manifest
    assert listed in set(freed.usable["image_id"])
    table.write_text("image_id\ntrain/Niro/Niro_03.jpg\n")
    with pytest.raises(DataError, match=r"an image_id looks like 'train/Niro/Niro_\d+.jpg'"):
        prepare(config, str(root), str(table))


def test_a_second_scan_reads_no_unchanged_photo(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos")
    config = load_config(overrides="data.folds=2")
    first = prepare(config, str(root)).manifest
    path = root / "train" / "Niro" / "Niro_0003.jpg"
    before = path.stat()
    # Other content behind the same size and time: only a scan that reads it would see that.
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert prepare(config, str(root)).manifest.fingerprint == first.fingerprint
    path.touch()
    touched = prepare(config, str(root)).manifest.frame.set_index("image_id")
    assert touched.loc["train/Niro/Niro_0003.jpg", "excluded"] == "unreadable: not an image"

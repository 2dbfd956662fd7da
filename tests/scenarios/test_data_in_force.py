"""A prepared manifest is taken again only where all that was asked for is as it was."""

import logging
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from carvision.config import load_config
from carvision.data.manifest import Manifest
from carvision.pipelines.prepare.prepared_data import known_manifest, prepared_data
from carvision.pipelines.prepare.step import prepare
from carvision.store.client import client
from carvision.store.runs import find_runs
from tests.conftest import write_photos

LISTED = "train/Niro/Niro_0003.jpg"


def _config(settings: str = ""):
    return load_config(overrides=settings)


def _list(tmp_path: Path, *names: str) -> str:
    path = tmp_path / "list.csv"
    path.write_text("image_id\n" + "".join(f"{name}\n" for name in names))
    return str(path)


def _excluded(manifest: Manifest) -> list[str]:
    frame = manifest.frame
    return frame["image_id"][frame["excluded"] != ""].tolist()


@pytest.mark.parametrize("asked", ["data.folds=4", "data.folds=2 data.split_seed=1"])
@pytest.mark.parametrize("data", ["latest", "root"])
def test_an_earlier_manifest_does_not_end_a_list(
    store: Path, tmp_path: Path, asked: str, data: str
) -> None:
    root = write_photos(tmp_path / "photos", per_class=6, test=1)
    prepare(_config(asked), str(root))
    prepare(_config("data.folds=3"), str(root), _list(tmp_path, LISTED))
    again = prepared_data(_config(asked), str(root) if data == "root" else data).manifest
    assert _excluded(again) == [LISTED]
    runs = len(find_runs("prepare", {}))
    # Now there is one with this list.
    assert _excluded(prepared_data(_config(asked), str(root)).manifest) == [LISTED]
    assert _excluded(known_manifest(_config(asked), "latest")) == [LISTED]
    assert len(find_runs("prepare", {})) == runs


def test_a_list_that_ended_does_not_come_back(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", per_class=6, test=1)
    prepare(_config("data.folds=4"), str(root), _list(tmp_path, LISTED))
    prepare(_config("data.folds=3"), str(root), "none")
    assert _excluded(prepared_data(_config("data.folds=4"), "latest").manifest) == []
    other = _list(tmp_path, "train/K5_Hybrid/K5_Hybrid_0001.jpg")
    prepare(_config("data.folds=2"), str(root), other)
    found = prepared_data(_config("data.folds=4"), str(root)).manifest
    assert _excluded(found) == ["train/K5_Hybrid/K5_Hybrid_0001.jpg"]


@pytest.mark.parametrize("absent", ["away", "broken"])
def test_a_list_outlives_the_photos_absence(store: Path, tmp_path: Path, absent: str) -> None:
    root = write_photos(tmp_path / "photos", per_class=6, test=1)
    photo = root / LISTED
    content = photo.read_bytes()
    if absent == "broken":
        photo.write_bytes(b"no photo")
    prepare(_config("data.folds=2"), str(root), _list(tmp_path, LISTED))
    if absent == "away":
        photo.unlink()
        prepared_data(_config(), str(root))
    photo.write_bytes(content)
    back = prepared_data(_config(), str(root)).manifest
    frame = back.frame.set_index("image_id")
    assert frame.loc[LISTED, "excluded"] == "listed"
    assert frame.loc[LISTED, "width"] > 0


def test_a_run_of_an_earlier_version(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", per_class=6, test=1)
    prepare(_config("data.folds=2"), str(root), _list(tmp_path, LISTED))
    run = find_runs("prepare", {})[0]
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    (artifacts / "manifest" / "exclusions.json").unlink()
    for tag in ("carvision.exclusions", "carvision.sha256"):
        client().delete_tag(run.info.run_id, tag)
    runs = len(find_runs("prepare", {}))
    assert _excluded(prepared_data(_config(), str(root)).manifest) == [LISTED]
    assert len(find_runs("prepare", {})) == runs
    assert _excluded(prepared_data(_config("data.folds=3"), str(root)).manifest) == [LISTED]


def test_a_folder_that_moved_keeps_its_folds_and_list(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_photos(tmp_path / "photos", per_class=6, test=1)
    first = prepare(_config("data.folds=3"), str(root), _list(tmp_path, LISTED)).manifest
    moved = shutil.move(root, tmp_path / "elsewhere")
    with caplog.at_level(logging.INFO, "carvision"):
        found = prepared_data(_config(), str(moved)).manifest
    assert found.fingerprint == first.fingerprint
    assert f"these photos were prepared in {root}, and moved since" in caplog.text


def test_a_copy_is_data_of_its_own(store: Path, tmp_path: Path) -> None:
    root = write_photos(tmp_path / "photos", per_class=6, test=1)
    prepare(_config("data.folds=3"), str(root), _list(tmp_path, LISTED))
    copy = shutil.copytree(root, tmp_path / "copy")
    found = prepared_data(_config(), str(copy)).manifest
    assert (found.folds, _excluded(found)) == (5, [])


def test_what_is_not_used_is_on_the_page_and_the_console(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_photos(tmp_path / "photos", per_class=6, test=1)
    for i in range(15):
        (root / "train" / "Niro" / f"bad_{i:02d}.jpg").write_bytes(b"no photo")
    photo = root / LISTED
    for name in ("train/loose.jpg", "Valid/K5/1.jpg", "train/.hidden/1.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, root / name)
    with caplog.at_level(logging.INFO, "carvision"):
        manifest = prepare(_config("data.folds=2"), str(root)).manifest
    (run,) = find_runs("prepare", {"carvision.data": manifest.fingerprint})
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    page = (artifacts / "data.html").read_text(encoding="utf-8")
    for sentence in (
        "photos that lie in no class folder: train (1)",
        "photos of another split: Valid (1)",
        "photos below names that begin with a dot: train/.hidden (1)",
    ):
        assert sentence in page
        (record,) = (each for each in caplog.records if sentence in each.getMessage())
        assert record.levelno == logging.WARNING
    left_out = [line for line in caplog.messages if line.startswith("left out: ")]
    assert left_out[4].startswith("left out: train/Niro/bad_04.jpg: ")
    assert left_out[5:] == ["left out: 10 more (the run's data.html has them)"]
    assert page.count("unreadable: not an image") == 15


def test_names_that_are_not_utf8(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_photos(tmp_path / "photos", per_class=6, test=1)
    try:
        place = os.fsdecode(os.fsencode(tmp_path) + b"/d\xb6ta")
        root.rename(place)
    except OSError:
        pytest.skip("this disk takes UTF-8 alone")
    folder = Path(place, "train", "RAV4")
    folder.rename(folder.with_name(os.fsdecode("라브4".encode("cp949"))))
    with caplog.at_level(logging.INFO, "carvision"):
        first = prepare(_config("data.folds=2"), place).manifest
    assert "라브4" in first.classes.names
    assert first.frame["image_id"].str.contains("train/라브4/RAV4_0000.jpg", regex=False).any()
    assert r"d\xb6ta" in caplog.text
    runs = len(find_runs("prepare", {}))
    again = prepared_data(_config(), "latest")
    assert len(find_runs("prepare", {})) == runs
    assert again.manifest.fingerprint == first.fingerprint
    pd.testing.assert_frame_equal(again.manifest.frame, first.frame)
    for path in again.manifest.frame["path"]:
        Image.open(again.layout.root / path).close()
    # The remembered scan knows the paths, too.
    assert prepare(_config(), place).manifest.fingerprint == first.fingerprint

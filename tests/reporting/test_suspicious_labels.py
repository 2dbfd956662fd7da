"""The list of suspicious labels: a page to look at, and a CSV that `prepare` takes as it is."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carvision.config import load_config
from carvision.data.folder.layout import Layout
from carvision.data.preparation.build import build_manifest
from carvision.data.preparation.exclusions import read_exclusions
from carvision.reporting.suspicious_labels import write_suspicious_labels
from tests.conftest import write_photos


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


def _rows(root: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    layout = Layout.at(root)
    manifest = build_manifest(layout, layout.training_photos(), load_config().data.split(None))
    return manifest.usable, manifest.classes.names


def _predictions(rows: pd.DataFrame, classes: int, wrong: list[int]) -> np.ndarray:
    """Sure of every label, and of the next class in the rows ``wrong``."""
    p = np.full((len(rows), classes), 0.1 / (classes - 1))
    target = rows["class_index"].to_numpy().copy()
    target[wrong] = (target[wrong] + 1) % classes
    p[np.arange(len(rows)), target] = 0.9
    p[wrong[0], target[wrong[0]]] = 0.95
    return np.log(p / p.sum(axis=1, keepdims=True))


def test_prepare_takes_the_list(root: Path, tmp_path: Path) -> None:
    rows, names = _rows(root)
    wrong = [9, 3]
    found = write_suspicious_labels(
        tmp_path, rows, _predictions(rows, len(names), wrong), names, root
    )
    listed = read_exclusions(tmp_path / "suspicious_labels.csv")
    assert list(listed) == found["image_id"].tolist() == rows["image_id"].iloc[wrong].tolist()
    layout = Layout.at(root)
    split = load_config().data.split(None)
    again = build_manifest(layout, layout.training_photos(), split, exclusions=listed)
    excluded = again.frame[again.frame["excluded"] != ""]
    assert sorted(excluded["image_id"]) == sorted(listed)
    assert excluded["excluded"].str.contains("suspicious label: looks like").all()


def test_the_page_shows_each_photo_beside_one_of_the_suggested_class(
    root: Path, tmp_path: Path
) -> None:
    rows, names = _rows(root)
    write_suspicious_labels(tmp_path, rows, _predictions(rows, len(names), [9]), names, root)
    page = (tmp_path / "suspicious_labels.html").read_text(encoding="utf-8")
    suspect = rows.iloc[9]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert len(captions) == 2
    assert suspect["image_id"] in captions[0] and f">{suspect['label']}<" in captions[0]
    suggested = names[(suspect["class_index"] + 1) % len(names)]
    assert captions[1].startswith(f"looks like {suggested} (0.9")
    example = captions[1].rpartition("<br>")[2]
    assert rows.set_index("image_id").loc[example, "label"] == suggested
    assert page.count('src="data:image/jpeg') == 2
    assert "http" not in page


def test_photos_of_another_machine_cost_no_page(root: Path, tmp_path: Path) -> None:
    rows, names = _rows(root)
    log_p = _predictions(rows, len(names), [9])
    write_suspicious_labels(tmp_path, rows, log_p, names, tmp_path / "nowhere")
    assert (tmp_path / "suspicious_labels.html").read_text().count("<figure>gone") == 2


def test_nothing_suspicious(root: Path, tmp_path: Path) -> None:
    rows, names = _rows(root)
    target = rows["class_index"].to_numpy()
    log_p = np.log(np.where(np.arange(len(names)) == target[:, None], 0.97, 0.01))
    assert write_suspicious_labels(tmp_path, rows, log_p, names, root).empty
    assert read_exclusions(tmp_path / "suspicious_labels.csv") == {}
    page = (tmp_path / "suspicious_labels.html").read_text(encoding="utf-8")
    assert f"None: no label of the {len(rows)} photos" in page


def test_a_weak_models_list_is_empty_and_its_page_says_why(root: Path, tmp_path: Path) -> None:
    rows, names = _rows(root)
    wrong = list(range(0, len(rows), 2))
    log_p = _predictions(rows, len(names), wrong)
    found = write_suspicious_labels(tmp_path, rows, log_p, names, root)
    assert len(found) == len(wrong)
    assert read_exclusions(tmp_path / "suspicious_labels.csv") == {}
    page = (tmp_path / "suspicious_labels.html").read_text(encoding="utf-8")
    assert "right in 50% of the photos" in page and "too weak to judge labels" in page
    assert "exclude=" not in page
    assert page.count("<figure>") == 2 * len(wrong)


def test_a_strong_models_page_says_how_many_labels_it_takes_for_wrong(
    root: Path, tmp_path: Path
) -> None:
    rows, names = _rows(root)
    write_suspicious_labels(tmp_path, rows, _predictions(rows, len(names), [9]), names, root)
    page = (tmp_path / "suspicious_labels.html").read_text(encoding="utf-8")
    assert "of the labels are wrong" in page and "too weak" not in page
    assert "-P exclude=suspicious_labels.csv" in page

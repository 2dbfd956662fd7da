"""A class may have any name that a folder can have, through the whole chain."""

import base64
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server import predictions_to_json
from PIL import Image

from carvision.config import Config, load_config
from carvision.data.preparation.exclusions import read_exclusions
from carvision.data.submission import Template
from carvision.metrics import competition_log_loss
from carvision.pipelines.ensemble.step import ensemble
from carvision.pipelines.prepare.step import prepare
from carvision.pipelines.train.step import train
from carvision.pipelines.tune.step import tune
from carvision.store.artifacts import fetch
from carvision.store.runs import find_runs

NAMES = [
    *("ID", "id", "image_id", "img_path", "path", "label", "fold", "index", "group", "class_index"),
    *("confidence", "class_1", "probability_1", "__index_level_0__", "level_0", "0", "-1"),
    *("True", "NO", "NaN", "nan", "NA", "null", "None", "001", "1e5", "-", "=1+1", "@SUM(A1)"),
    *("a,b", 'a"b', "a\tb", "new\nline", "re\rturn", " leading", "trailing ", "'", "a\\b", "$x$"),
    *("[red]x[", "<b>&amp;", "%s{0}", "라브4 [EV]", "x" * 240),
]
PER_CLASS = 2


def _config(extra: str = "") -> Config:
    settings = "data.folds=2 model.image_size=32 train.epochs=1 precision=fp32 device=cpu"
    return load_config(overrides=f"{settings} {extra}")


def _photo(generator: np.random.Generator, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of noise; a template, answers and IDs that look like numbers."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name in NAMES:
        for i in range(PER_CLASS):
            _photo(generator, root / "train" / name / f"{i}.png")
    ids = [f"{i:03d}" for i in range(len(NAMES))]
    for identifier in ids:
        _photo(generator, root / "test" / f"{identifier}.png")
    answers = pd.DataFrame({"ID": ids, "label": NAMES})
    template = pd.DataFrame(0, index=range(len(ids)), columns=NAMES[::-1])
    template.insert(0, "ID", ids, allow_duplicates=True)
    for name, table in {"sample_submission": template, "answers": answers}.items():
        # With these line ends pandas quotes a carriage return.
        table.to_csv(root / f"{name}.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    return root


@pytest.fixture(scope="module")
def submitted(store: Path, root: Path) -> Iterator[Path]:
    prepare(_config(), str(root))
    train([_config()], str(root), "all", "auto")
    tune(_config(), str(root), [], 1)
    yield ensemble(_config(), str(root), test="", output=store / "submission.csv", tta_steps=5)


def _read(path: Path) -> pd.DataFrame:
    """A CSV as a program reads it that takes nothing for missing: by position, as text."""
    return pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def test_the_submission_has_the_templates_names_and_ids(submitted: Path, root: Path) -> None:
    cells, template = _read(submitted), _read(root / "sample_submission.csv")
    assert cells.iloc[0].tolist() == template.iloc[0].tolist()
    assert cells[0].tolist() == template[0].tolist()
    values = cells.iloc[1:, 1:].to_numpy().astype(float)
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-6)
    assert Template.read(submitted) == Template.read(root / "sample_submission.csv")


def test_the_score_is_of_the_classes(submitted: Path) -> None:
    cells = _read(submitted)
    table = pd.DataFrame(
        cells.iloc[1:, 1:].to_numpy().astype(float), columns=cells.iloc[0, 1:].tolist()
    )
    logged = find_runs("ensemble", {})[0].data.metrics["test/log_loss"]
    assert logged == pytest.approx(competition_log_loss(NAMES, table))


def test_the_registered_model_has_a_column_for_each(submitted: Path, root: Path) -> None:
    cells = _read(submitted)
    encoded = base64.b64encode((root / "test" / "000.png").read_bytes()).decode()
    for name in ("carvision-efficientnet_lite0", "carvision-ensemble"):
        model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
        answer = model.predict(pd.DataFrame({"image": [encoded]}))
        assert answer.columns.tolist() == sorted(NAMES)
        assert model.metadata.signature.outputs.input_names() == sorted(NAMES)
    expected = dict(zip(cells.iloc[0, 1:], cells.iloc[1, 1:].astype(float), strict=True))
    text = _served(answer)
    assert text.keys() == expected.keys()
    assert all(abs(text[name] - expected[name]) < 0.02 for name in NAMES)


def _served(answer: pd.DataFrame) -> dict[str, float]:
    """The first row of what MLflow's server answers."""
    body = StringIO()
    predictions_to_json(answer, body)
    (row,) = json.loads(body.getvalue())["predictions"]
    return {str(name): float(value) for name, value in row.items()}


def test_tables_for_people_name_them(submitted: Path, tmp_path: Path) -> None:
    run = find_runs("ensemble", {})[0].info.run_id
    table = pd.read_csv(
        fetch(run, "confidence.csv", tmp_path),
        dtype=str,
        keep_default_na=False,
        encoding="utf-8-sig",
    )
    assert sorted(table["image_id"]) == [f"{i:03d}" for i in range(len(NAMES))]
    plain = {name.removeprefix("'") if name != "'" else name for name in table["class_1"]}
    assert plain <= set(NAMES)
    run = find_runs("tune", {})[0].info.run_id
    listed = read_exclusions(fetch(run, "suspicious_labels.csv", tmp_path))
    assert set(listed) <= {f"train/{name}/{i}.png" for name in NAMES for i in range(PER_CLASS)}


def test_a_submission_without_a_template(submitted: Path, root: Path, store: Path) -> None:
    output = ensemble(
        _config(), str(root), test=str(root / "test"), output=store / "other.csv", tta_steps=1
    )
    assert Template.read(output).ids == tuple(f"{i:03d}" for i in range(len(NAMES)))

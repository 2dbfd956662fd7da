"""What all tests share: no telemetry, a small set of photos, a tracking store of one's own."""

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from carvision.library_settings import set_up_libraries
from tests.processes import dead, living
from tests.tracking_server import events, run_id, server

__all__ = ["dead", "events", "living", "run_id", "server"]

set_up_libraries()
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

# On few busy cores torch's threads wait for each other longer than tiny images take.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

#: Class folder -> colour. The first two are one car under two names.
COLOURS = {
    "K5_하이브리드": (200, 40, 40),
    "K5_Hybrid": (200, 40, 40),
    "Niro": (40, 200, 40),
    "RAV4": (40, 40, 200),
}
SAME_CLASSES = [["K5_하이브리드", "K5_Hybrid"]]


def write_photos(root: Path, *, per_class: int = 8, test: int = 6, seed: int = 0) -> Path:
    """Noisy photos of one colour a class, in the competition's layout, answers included."""
    generator = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        for i in range(per_class):
            _photo(generator, colour, root / "train" / name / f"{name}_{i:04d}.jpg")
    ids = [f"TEST_{i:05d}" for i in range(test)]
    labels = [list(COLOURS)[i % len(COLOURS)] for i in range(test)]
    for identifier, label in zip(ids, labels, strict=True):
        _photo(generator, COLOURS[label], root / "test" / f"{identifier}.jpg")
    paths = [f"./test/{identifier}.jpg" for identifier in ids]
    template = pd.DataFrame(0, index=range(test), columns=["RAV4", *list(COLOURS)[:3]])
    template.insert(0, "ID", ids)
    for name, table in {
        "test.csv": pd.DataFrame({"ID": ids, "img_path": paths}),
        "sample_submission.csv": template,
        "answers.csv": pd.DataFrame({"ID": ids, "label": labels}),
    }.items():
        table.to_csv(root / name, index=False, encoding="utf-8-sig")
    return root


def _photo(generator: np.random.Generator, colour: tuple[int, int, int], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = generator.normal(0, 40, (40, 56, 3))
    Image.fromarray(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos that no test changes."""
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty project folder with a tracking store, in which the module's tests work."""
    before = Path.cwd()
    folder = tmp_path_factory.mktemp("project")
    os.chdir(folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    # The default experiment keeps the artifacts' folder of the store it was made in.
    mlflow.set_experiment("tests")
    yield folder
    os.chdir(before)
    # Of the process, and so of the modules that follow.
    mlflow.tracking.fluent._active_run_stack.get().clear()
    mlflow.tracking.fluent._active_experiment_id = None
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)

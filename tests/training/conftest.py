"""Shared by the tests of training: a manifest of small photos, a tiny run, a recording tracker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from carvision.config import Config, SplitSettings, load_config
from carvision.data.folder.layout import Layout
from carvision.data.manifest import Manifest
from carvision.data.preparation.build import build_manifest, divided
from carvision.training import FoldResult, train_fold
from carvision.training.job import FoldJob

PER_CLASS = 12


@dataclass
class Recorder:
    """A tracker that records its events."""

    planned: int | None = None
    steps: list[tuple[int, float]] = field(default_factory=list)
    epochs: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    predicted: list[tuple[int, int]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def run_started(self, description: str, total_steps: int) -> None:
        self.planned = total_steps

    def step_ended(self, step: int, loss: float) -> None:
        self.steps.append((step, loss))

    def images_predicted(self, done: int, total: int) -> None:
        self.predicted.append((done, total))

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.epochs.append((epoch, dict(metrics)))

    def warning(self, message: str) -> None:
        self.warnings.append(message)


@dataclass(frozen=True)
class Data:
    """Photos and their manifest of three folds."""

    root: Path
    manifest: Manifest


@dataclass(frozen=True)
class Run:
    """A trained fold, and the events of its training."""

    config: Config
    root: Path
    result: FoldResult
    recorder: Recorder


def tiny(overrides: str = "", model: str = "efficientnet_lite0", recipe: str = "") -> Config:
    """A configuration that trains a fold in a second or two, the same way each time."""
    base = "model.image_size=32 train.image_size=32 train.epochs=2 train.batch_size=8"
    return load_config(
        model,
        overrides=f"{base} loader.workers=0 precision=fp32 {overrides}",
        device="cpu",
        recipe=recipe,
    )


@dataclass(frozen=True)
class JobIn(FoldJob):
    """A job in a folder of the test's choice, whatever its settings are."""

    place: Path = Path()

    @property
    def folder(self) -> Path:
        return self.place


def job_in(folder: Path, data: Data, config: Config, fold: int = 1) -> FoldJob:
    """The job of a fold in ``folder``."""
    return replace(JobIn.of(config, data.manifest, data.root, fold), place=folder)


def train_in(
    data: Data, config: Config, folder: Path, recorder: Recorder | None = None
) -> FoldResult:
    """Train fold 1 in ``folder``, or what is left of it there."""
    return train_fold(job_in(folder, data, config), recorder or Recorder())


def assert_same(one: FoldResult, other: FoldResult) -> None:
    """The same results, bit by bit."""
    assert (one.best_epoch, one.averaged, one.metrics) == (
        other.best_epoch,
        other.averaged,
        other.metrics,
    )
    ours, theirs = load_file(one.weights), load_file(other.weights)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    np.testing.assert_array_equal(
        one.predictions.log_probabilities, other.predictions.log_probabilities
    )
    # All epochs, whichever process trained them.
    np.testing.assert_array_equal(one.epochs_true_class, other.epochs_true_class)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Squares, stripes and discs on noise, 40 px."""
    root = tmp_path_factory.mktemp("shapes")
    generator = np.random.default_rng(8)
    y, x = np.mgrid[:40, :40]
    shapes = {
        "square": (abs(x - 20) < 10) & (abs(y - 20) < 10),
        "stripes": x % 8 < 4,
        "disc": (x - 20) ** 2 + (y - 20) ** 2 < 150,
    }
    for name, shape in shapes.items():
        (root / name).mkdir()
        for i in range(PER_CLASS):
            pixels = generator.normal(90, 30, (40, 40, 3))
            pixels[shape] += generator.uniform(40, 130, 3)
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(root / name / f"{i:02d}.jpg")
    layout = Layout.at(root)
    manifest = build_manifest(layout, layout.training_photos(), SplitSettings(folds=3))
    # One shape is like the next; told apart, so that each fold has the same number of them.
    hashes = [f"{value:016x}" for value in generator.integers(0, 2**63, len(manifest.frame))]
    frame = manifest.frame.assign(perceptual_hash=hashes)
    return Data(layout.root, divided(frame, manifest.classes, SplitSettings(folds=3)))


@pytest.fixture(scope="session")
def train(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Train one fold in a folder of its own."""

    def run(config: Config, fold: int = 1, recorder: Recorder | None = None) -> Run:
        recorder = recorder or Recorder()
        folder = tmp_path_factory.mktemp("fold")
        return Run(
            config,
            data.root,
            train_fold(job_in(folder, data, config, fold), recorder),
            recorder,
        )

    return run


@pytest.fixture(scope="session")
def trained(train: Callable[..., Run]) -> Run:
    """Fold 2 of three epochs; no test changes it."""
    return train(tiny("train.epochs=3"), fold=2)

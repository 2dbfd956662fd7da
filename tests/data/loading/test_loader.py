"""Errors and deaths of a loader's workers name the photo; each device gets its settings."""

import os
import signal
import time

import pandas as pd
import pytest
import torch

from carvision.config import LoaderConfig, load_config
from carvision.data.loading.augment import Augmenter
from carvision.data.loading.loader import loader_settings
from carvision.data.loading.sources import OriginalPhotos
from carvision.data.loading.training_photos import EpochSampler, TrainingPhotos, training_loader
from carvision.errors import DataError
from tests.data.loading.small_photos import PHOTOS, SIZE, seven_photos


@pytest.mark.parametrize(
    ("device", "cores", "given", "expected"),
    [
        ("mps", 10, {}, {"num_workers": 0, "pin_memory": False}),
        ("cuda", 32, {}, {"num_workers": 8, "pin_memory": True, "prefetch_factor": 2}),
        ("cuda", 4, {}, {"num_workers": 3, "persistent_workers": True}),
        ("cpu", 4, {}, {"num_workers": 1, "pin_memory": False, "prefetch_factor": 2}),
        ("cpu", 1, {}, {"num_workers": 0}),
        ("mps", 10, {"workers": 2}, {"num_workers": 2, "persistent_workers": True}),
        ("cuda", 8, {"workers": 0, "prefetch": 7}, {"num_workers": 0, "pin_memory": True}),
        (
            "cuda",
            8,
            {
                "pin_memory": False,
                "persistent_workers": False,
                "prefetch": 7,
                "start_method": "spawn",
            },
            {
                "pin_memory": False,
                "persistent_workers": False,
                "prefetch_factor": 7,
                "multiprocessing_context": "spawn",
            },
        ),
    ],
)
def test_what_a_device_gets(monkeypatch, root, device, cores, given, expected):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    settings = loader_settings(LoaderConfig(**given), device)
    assert expected.items() <= settings.items()
    without_workers = {"num_workers", "pin_memory"}
    assert (set(settings) == without_workers) == (settings["num_workers"] == 0)
    # DataLoader itself takes them all.
    torch.utils.data.DataLoader(seven_photos(root), **settings)


class _Deadly(OriginalPhotos):
    """The third photo kills the process that opens it, as a broken decoder does."""

    def crop(self, index, size, box):
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().crop(index, size, box)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_worker_that_dies_names_its_photo(root, workers):
    rows = pd.DataFrame({"image_id": [f"id {i}" for i in range(PHOTOS)], "class_index": 0})
    source = _Deadly([root / f"{i}.png" for i in range(PHOTOS)])
    photos = TrainingPhotos(source, rows, Augmenter(load_config().augmentation, SIZE, 0))
    loader = training_loader(
        photos, EpochSampler(PHOTOS, 0), 2, LoaderConfig(workers=workers), "cpu"
    )
    seen = 0
    with (
        pytest.raises(DataError, match=r"loads photos died .* it held id 2 \(.*2\.png\)"),
        loader.watched(),
    ):
        for _ in loader:
            # torch notices by a signal, which comes while the main process computes.
            seen += 1
            time.sleep(2)
    assert seen < 3


class _Faulty(OriginalPhotos):
    """A bug in a decoder."""

    def crop(self, index, size, box):
        raise KeyError("no such table")


def test_any_error_of_a_worker_names_its_photo(root):
    rows = pd.DataFrame({"image_id": ["id 0", "id 1"], "class_index": 0})
    source = _Faulty([root / "0.png", root / "1.png"])
    photos = TrainingPhotos(source, rows, Augmenter(load_config().augmentation, SIZE, 0))
    config = LoaderConfig(workers=1)
    with pytest.raises(DataError, match=r"id [01] .* cannot be loaded: KeyError"):
        list(training_loader(photos, EpochSampler(2, 0), 2, config, "cpu"))

"""What the tests of inference share: a few photos, and a bundle of two folds' random models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from carvision.config import Config, load_config
from carvision.contracts import ClassMap
from carvision.models import Bundle, build_model, read_bundle, write_bundle

SIZE = 48
CLASSES = ClassMap.of(["Niro", "RAV4", "K5"])


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seven photos with a top and a left side, of the model's size and without losses."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(2)
    paths = []
    for i in range(7):
        pixels = generator.integers(0, 120, (SIZE, SIZE, 3))
        pixels[:16] += generator.integers(0, 130, 3)
        pixels[:, :12, i % 3] += 60
        path = folder / f"{i}.png"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """ImageNet's features under random classifiers, which differ between the folds."""
    folder = tmp_path_factory.mktemp("bundles")
    config = _config()
    files = {}
    for fold in (1, 2):
        torch.manual_seed(fold)
        model = build_model(config, len(CLASSES.names), pretrained=True)
        torch.nn.init.normal_(model.get_parameter("classifier.weight"), std=0.1)
        files[fold] = folder / f"{fold}.safetensors"
        save_file(model.state_dict(), files[fold])
    write_bundle(folder / "bundle", config, CLASSES, files)
    return read_bundle(folder / "bundle")


def _config() -> Config:
    return load_config("efficientnet_lite0", overrides=f"model.image_size={SIZE}")

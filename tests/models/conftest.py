"""What the tests of models share: a random backbone of the default preset, and its state dict."""

import pytest
import torch
from torch import nn

from carvision.config import Config, load_config
from carvision.models import build_model


@pytest.fixture(scope="session")
def random_config() -> Config:
    """The default preset without pretrained weights."""
    return load_config(overrides="model.pretrained=false model.image_size=32")


@pytest.fixture(scope="session")
def random_model(random_config: Config) -> nn.Module:
    """timm's 1000-class model of the default preset with random weights; no test changes it."""
    torch.manual_seed(11)
    return build_model(random_config, 1000, pretrained=False).eval()

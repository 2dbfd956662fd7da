"""Seven photos of noise."""

import numpy as np
import pytest
from PIL import Image

from tests.data.loading.small_photos import PHOTOS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(PHOTOS):
        pixels = np.random.default_rng(i).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder

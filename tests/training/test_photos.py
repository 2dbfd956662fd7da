"""Training photos are resized with the interpolation of the backbone's weights."""

from pathlib import Path

import numpy as np
import pytest

from carvision.data.loading.cache import PhotoCache
from carvision.data.photo.decode import WHOLE, decode
from carvision.data.photo.resize import resized
from carvision.training import training_photos
from tests.training.conftest import Data, tiny

#: Of a training image.
SIDE = 32
WITHOUT_AUGMENTATION = (
    "augmentation.crop_scale=[1.0,1.0] augmentation.crop_jitter=0 augmentation.hflip=0 "
    "augmentation.brightness=0 augmentation.contrast=0 augmentation.saturation=0"
)


@pytest.mark.parametrize(
    ("timm_name", "interpolation"),
    [("tf_efficientnet_lite0.in1k", "bicubic"), ("dla34.in1k", "bilinear")],
)
def test_the_backbones_own_interpolation(
    data: Data, tmp_path: Path, timm_name: str, interpolation: str
) -> None:
    config = tiny(f"model.timm_name={timm_name} {WITHOUT_AUGMENTATION}")
    rows = data.manifest.usable
    whole = decode(data.root / rows["path"].iloc[0], SIDE, interpolation=interpolation)
    from_files = training_photos(config, rows, data.root, None)
    np.testing.assert_array_equal(from_files.image(1, 0), whole)
    # A photo of its own size in the cache, resized when it is read.
    cache = PhotoCache(tmp_path, data.manifest, 40)
    cache.write(data.root)
    cached = training_photos(config, rows, data.root, cache)
    stored = cache.photos(rows, interpolation).crop(0, 40, WHOLE)
    np.testing.assert_array_equal(cached.image(1, 0), resized(stored, SIDE, interpolation))

"""The photos as training sees them: squashed as the backbone's weights were made for."""

from pathlib import Path

import numpy as np
import pytest

from carvision.data.loading.cache import PhotoCache
from carvision.data.photo.decode import WHOLE, decode
from carvision.data.photo.resize import resized
from carvision.training import training_photos
from tests.training.conftest import Data, tiny

SIDE = 40


@pytest.mark.parametrize(
    ("timm_name", "interpolation"),
    [("tf_efficientnet_lite0.in1k", "bicubic"), ("dla34.in1k", "bilinear")],
)
def test_the_backbones_own_interpolation(
    data: Data, tmp_path: Path, timm_name: str, interpolation: str
) -> None:
    config = tiny(f"model.timm_name={timm_name}")
    rows = data.manifest.usable
    path = data.root / rows["path"].iloc[0]
    from_files = training_photos(config, rows, data.root, None)
    np.testing.assert_array_equal(
        from_files._source.crop(0, 24, WHOLE), decode(path, 24, interpolation=interpolation)
    )
    cache = PhotoCache(tmp_path, data.manifest, SIDE)
    cache.write(data.root)
    cached = training_photos(config, rows, data.root, cache)._source
    whole = cached.crop(0, SIDE, WHOLE)
    np.testing.assert_array_equal(cached.crop(0, 24, WHOLE), resized(whole, 24, interpolation))

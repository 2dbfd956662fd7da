"""When a cache of resized photos is worth its room on the disk."""

import pandas as pd
import pytest

from carvision.config import load_config
from carvision.contracts import ClassMap
from carvision.data.loading.cache_choice import chosen_cache
from carvision.data.manifest import Manifest


def _manifest(photos: int, width: int, height: int) -> Manifest:
    frame = pd.DataFrame(
        {
            "width": width,
            "height": height,
            "excluded": "",
            "content_hash": [f"{i:032x}" for i in range(photos)],
        }
    )
    classes = ClassMap(("a", "b"), (("a",), ("b",)))
    return Manifest(frame, classes)


@pytest.mark.parametrize(
    ("model", "photos", "size", "side"),
    [
        # The competition's photos: 13 GB that would save a sixth of the decoding.
        ("convnext_large", 33_137, (690, 437), None),
        ("convnext_base", 33_137, (690, 437), 384),
        # Large photos cost much to decode, few photos cost little to keep.
        ("convnext_large", 33_137, (1280, 960), 512),
        ("convnext_large", 1_257, (690, 437), 512),
        ("convnext_large", 1_257, (500, 400), None),
    ],
)
def test_auto_weighs_what_it_saves_against_its_size(model, photos, size, side, monkeypatch):
    monkeypatch.setattr("carvision.data.loading.cache.PhotoCache.fits", lambda self: True)
    cache = chosen_cache(load_config(model), _manifest(photos, *size))
    assert (cache and cache.side) == side


def test_a_cache_that_is_asked_for_is_not_weighed(monkeypatch):
    monkeypatch.setattr("carvision.data.loading.cache.PhotoCache.fits", lambda self: True)
    config = load_config("convnext_large", overrides="data.cache=512")
    cache = chosen_cache(config, _manifest(33_137, 690, 437))
    assert cache is not None
    assert cache.side == 512

"""Whole photos come in order, and one that cannot be read is named."""

import re

import numpy as np
import pytest
import torch

from carvision.config import LoaderConfig
from carvision.data.loading.inference_photos import WholePhotos, whole_photo_loader
from carvision.data.photo.decode import decode
from carvision.errors import DataError
from tests.data.loading.small_photos import PHOTOS, SIZE


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_whole_photos_in_order(root, workers, as_bytes):
    paths = [root / f"{i}.png" for i in range(PHOTOS)]
    sources = [path.read_bytes() for path in paths] if as_bytes else paths
    loader = whole_photo_loader(WholePhotos(sources, SIZE), 3, LoaderConfig(workers=workers), "cpu")
    batches = [batch.clone() for batch in loader]
    assert [len(batch) for batch in batches] == [3, 3, 1]
    images = torch.cat(batches).numpy().transpose(0, 2, 3, 1)
    for image, path in zip(images, paths, strict=True):
        np.testing.assert_array_equal(image, decode(path, SIZE))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_photo_is_named(root, tmp_path, workers):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    photos = WholePhotos([root / "0.png", broken], SIZE)
    loader = whole_photo_loader(photos, 2, LoaderConfig(workers=workers), "cpu")
    with pytest.raises(DataError, match=r"broken\.jpg cannot be read"):
        list(loader)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_went_away_is_named_in_one_line(root, tmp_path, workers):
    photos = WholePhotos([root / "0.png", tmp_path / "gone.jpg"], SIZE)
    with pytest.raises(DataError) as caught:
        list(whole_photo_loader(photos, 2, LoaderConfig(workers=workers), "cpu"))
    assert re.match(r"the photo .*gone\.jpg cannot be read: .*$", str(caught.value))

"""The preview's tiles are the samples of the first epochs."""

import numpy as np

from carvision.data.loading.preview import augmentation_preview
from carvision.data.loading.training_photos import EpochSampler
from carvision.data.photo.resize import resized
from tests.data.loading.small_photos import PHOTOS, seven_photos


def test_the_preview_shows_what_training_sees(root):
    photos = seven_photos(root)
    sheet = augmentation_preview(photos, seed=0)
    assert (sheet.shape, sheet.dtype) == ((4 * 160, 8 * 160, 3), np.uint8)
    keys = [*EpochSampler(PHOTOS, 0)]
    # Seven photos: the eighth tile is of the second epoch.
    sampler = EpochSampler(PHOTOS, 0)
    sampler.epoch = 2
    keys += [*sampler]
    for position in (0, 6, 7, 9):
        row, column = divmod(position, 8)
        tile = sheet[row * 160 : (row + 1) * 160, column * 160 : (column + 1) * 160]
        np.testing.assert_array_equal(tile, resized(photos.image(*keys[position]), 160))

"""A sheet of augmented photos, as training sees them."""

import numpy as np
from numpy.typing import NDArray

from carvision.data.loading.training_photos import EpochSampler, TrainingPhotos
from carvision.data.photo.resize import resized

_COLUMNS = 8
_ROWS = 4
_SIDE = 160


def augmentation_preview(photos: TrainingPhotos, seed: int) -> NDArray[np.uint8]:
    """Show the first 32 samples of training in a grid, ``[height, width, 3]``.

    Where there are fewer photos, samples of the following epochs fill the grid.
    """
    keys: list[tuple[int, int]] = []
    sampler = EpochSampler(len(photos), seed)
    while len(keys) < _ROWS * _COLUMNS:
        keys += sampler
        sampler.epoch += 1
    tiles = [resized(photos.image(*key), _SIDE) for key in keys[: _ROWS * _COLUMNS]]
    grid = np.stack(tiles).reshape(_ROWS, _COLUMNS, _SIDE, _SIDE, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(_ROWS * _SIDE, _COLUMNS * _SIDE, 3)

"""A batch in shared memory is not written again while it is in use."""

import time

import numpy as np
import pytest
import torch

from carvision.config import LoaderConfig
from carvision.data.loading.inference_photos import WholePhotos, whole_photo_loader
from carvision.data.loading.shared_batches import SharedBatches
from carvision.data.photo.decode import decode
from carvision.errors import DataError
from tests.data.loading.small_photos import PHOTOS, SIZE


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("prefetch", [1, 3])
def test_a_batch_holds_until_the_next_one_is_asked_for(root, workers, prefetch):
    """Many more batches than places in the ring, and a consumer that lags behind."""
    sources = [root / f"{i % PHOTOS}.png" for i in range(60)]
    photos = WholePhotos(sources, SIZE)
    config = LoaderConfig(workers=workers, prefetch=prefetch)
    expected = {path: decode(path, SIZE).transpose(2, 0, 1) for path in sources[:PHOTOS]}
    loader = whole_photo_loader(photos, 2, config, "cpu")
    for epoch in range(2):
        for number, batch in enumerate(loader):
            time.sleep(0.01)
            for image, path in zip(batch, sources[2 * number :], strict=False):
                np.testing.assert_array_equal(image.numpy(), expected[path], err_msg=str(epoch))
            if epoch == 0 and number == 10:
                break  # what was begun of this epoch must not show in the next


def test_too_little_shared_memory_is_said(root, monkeypatch):
    def refuse(self):
        raise RuntimeError("unable to allocate shared memory(shm)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    with pytest.raises(DataError, match=r"smaller loader\.workers .*--shm-size"):
        SharedBatches(workers=2, prefetch=2, batch_size=4, shape=(3, 8, 8))

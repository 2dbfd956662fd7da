"""Augmented photos for training, and the order in which an epoch goes over them."""

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from carvision.config import LoaderConfig
from carvision.data.loading.augment import Augmenter
from carvision.data.loading.loader import Batch, PhotoLoader, channels_first, start_worker
from carvision.data.loading.sources import PhotoSource


class TrainingPhotos(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented photos of a manifest's rows, indexed by ``(epoch, index)``."""

    def __init__(self, source: PhotoSource, rows: pd.DataFrame, augmenter: Augmenter) -> None:
        self._source = source
        self._ids = rows["image_id"].tolist()
        self._targets = torch.tensor(rows["class_index"].to_numpy())
        self._augmenter = augmenter

    @property
    def size(self) -> int:
        """Side of an image in pixels."""
        return self._augmenter.size

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        return channels_first(self.image(*key)), self._targets[key[1]]

    def image(self, epoch: int, index: int) -> NDArray[np.uint8]:
        """Return the photo as training sees it in ``epoch``, ``[size, size, 3]``."""
        draw = self._augmenter.draw(self._ids[index], epoch)
        pixels = self._source.crop(index, self.size, draw.box)
        return self._augmenter.apply(pixels, draw)

    def name(self, index: int) -> str:
        """Return the photo's name in an error."""
        return f"{self._ids[index]} ({self._source.name(index)})"


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields each index once an epoch, in an order drawn from (seed, epoch).

    The first ``start`` indices are left out, to resume in the middle of an epoch.
    """

    def __init__(self, length: int, seed: int) -> None:
        self._length = length
        self._seed = seed
        self.epoch = 1
        self.start = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, int(index)) for index in self.order()[self.start :])

    def order(self) -> NDArray[np.int64]:
        """Return the indices of the whole epoch."""
        return np.random.default_rng([self._seed, self.epoch]).permutation(self._length)


def training_loader(
    photos: TrainingPhotos,
    sampler: EpochSampler,
    batch_size: int,
    config: LoaderConfig,
    device: str,
) -> PhotoLoader[Batch]:
    """Load shuffled batches; a last batch that is not full is dropped, unless there is no other."""
    return PhotoLoader(
        photos,
        batch_size,
        config,
        device,
        sampler=sampler,
        drop_last=len(photos) >= batch_size,
        worker_init_fn=_start_worker,
    )


def _start_worker(worker: int) -> None:
    """Set up a worker process for augmentation."""
    start_worker(worker)
    # Else OpenCV starts a thread for each core in each worker; torch limits itself.
    cv2.setNumThreads(0)

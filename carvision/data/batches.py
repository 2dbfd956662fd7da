"""The data sets that a loader draws from, and the order in which training goes over one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from carvision.data.augment import Augmenter
from carvision.data.decode import Box, decode
from carvision.data.sources import PhotoSource
from carvision.errors import DataError


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
        return _channels_first(self.image(*key)), self._targets[key[1]]

    def image(self, epoch: int, index: int) -> NDArray[np.uint8]:
        """The photo as it is seen in ``epoch``, ``[size, size, 3]``."""

        def crop(size: int, box: Box) -> NDArray[np.uint8]:
            return self._source.crop(index, size, box)

        return self._augmenter(crop, self._ids[index], epoch)

    def name(self, index: int) -> str:
        """What an error calls the photo."""
        return f"{self._ids[index]} ({self._source.name(index)})"


class WholePhotos(Dataset[torch.Tensor]):
    """Whole photos from files or from encoded bytes, squashed to ``[3, size, size]``.

    With ``unreadable``, booleans ``[photos]`` in shared memory, a photo that cannot be read is
    marked there and is black; one that is marked already is not tried. Without, it is an error.
    """

    def __init__(
        self,
        sources: Sequence[Path | bytes],
        size: int,
        interpolation: str = "bicubic",
        unreadable: torch.Tensor | None = None,
    ) -> None:
        self._sources = sources
        self.size = size
        self._interpolation = interpolation
        self._unreadable = unreadable

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index: int) -> torch.Tensor:
        if self._unreadable is None:
            return self._decoded(index)
        if not self._unreadable[index]:
            try:
                return self._decoded(index)
            except DataError:
                self._unreadable[index] = True
        return torch.zeros(3, self.size, self.size, dtype=torch.uint8)

    def _decoded(self, index: int) -> torch.Tensor:
        source, name = self._sources[index], self.name(index)
        how = self._interpolation
        return _channels_first(decode(source, self.size, interpolation=how, name=name))

    def name(self, index: int) -> str:
        """A path names itself; bytes have their position alone."""
        source = self._sources[index]
        return f"image {index}" if isinstance(source, bytes) else str(source)


class EpochSampler(Sampler[tuple[int, int]]):
    """Each index once an epoch, in an order drawn from (seed, epoch).

    ``start`` leaves out so many, for training that goes on in the middle of an epoch.
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
        """The indices of the whole epoch."""
        return np.random.default_rng([self._seed, self.epoch]).permutation(self._length)


def _channels_first(image: NDArray[np.uint8]) -> torch.Tensor:
    """``[H, W, 3]`` to ``[3, H, W]``."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

"""Photos in batches of uint8; the device normalises them.

A training sampler yields ``(epoch, index)``, so that an augmented sample needs no state in the
workers, and persistent workers see the right epoch.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from carvision.data.augment import Augmenter
from carvision.data.decode import decode

#: Images ``[B, 3, H, W]`` (uint8) and targets ``[B]`` (int64).
Batch = tuple[torch.Tensor, torch.Tensor]


class TrainingPhotos(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented photos of a manifest's rows, indexed by ``(epoch, index)``."""

    def __init__(self, root: Path, rows: pd.DataFrame, augmenter: Augmenter) -> None:
        self._root = root
        self._paths = rows["path"].tolist()
        self._ids = rows["image_id"].tolist()
        self._targets = torch.tensor(rows["class_index"].to_numpy())
        self._augmenter = augmenter

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = key
        image = self._augmenter(self._root / self._paths[index], self._ids[index], epoch)
        return _channels_first(image), self._targets[index]


class WholePhotos(Dataset[torch.Tensor]):
    """Whole photos from files or from encoded bytes, squashed to ``[3, size, size]``."""

    def __init__(self, sources: Sequence[Path | bytes], size: int) -> None:
        self._sources = sources
        self._size = size

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index: int) -> torch.Tensor:
        # Bytes have no name of their own; a path names itself.
        source = self._sources[index]
        name = f"image {index}" if isinstance(source, bytes) else None
        return _channels_first(decode(source, self._size, name=name))


class EpochSampler(Sampler[tuple[int, int]]):
    """Each index once an epoch, in an order drawn from (seed, epoch)."""

    def __init__(self, length: int, seed: int) -> None:
        self._length = length
        self._seed = seed
        self.epoch = 1

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self._seed, self.epoch]).permutation(self._length)
        return ((self.epoch, int(index)) for index in order)


def training_loader(
    photos: TrainingPhotos, sampler: EpochSampler, batch_size: int, workers: int, device: str
) -> DataLoader[Batch]:
    """Shuffled batches; a last one that is not full is dropped, unless there is no other."""
    return DataLoader(
        photos,
        batch_size=batch_size,
        # Typed for integer keys; it hands whatever the sampler yields to the dataset.
        sampler=sampler,
        drop_last=len(photos) >= batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device == "cuda",
    )


def whole_photo_loader(
    photos: WholePhotos, batch_size: int, workers: int, device: str
) -> DataLoader[torch.Tensor]:
    """All photos, in order."""
    return DataLoader(
        photos, batch_size=batch_size, num_workers=workers, pin_memory=device == "cuda"
    )


def default_workers(device: str) -> int:
    """Worker processes for a device.

    None for MPS, where they deadlock; on a CPU one core decodes while the others compute.
    """
    cores = os.cpu_count() or 1
    if device == "mps":
        return 0
    return min(8, cores - 1) if device == "cuda" else min(1, cores - 1)


def _channels_first(image: np.ndarray) -> torch.Tensor:
    """``[H, W, 3]`` to ``[3, H, W]``."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))

"""Whole photos for evaluation: validation, prediction and serving."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from carvision.config import LoaderConfig
from carvision.data.loading.loader import PhotoLoader, channels_first
from carvision.data.photo.decode import decode
from carvision.errors import DataError


class WholePhotos(Dataset[torch.Tensor]):
    """Whole photos from files or from encoded bytes, squashed to ``[3, size, size]``.

    Args:
        sources: A path or the encoded bytes of each photo.
        size: Side of an image in pixels.
        interpolation: ``bicubic`` or ``bilinear``.
        unreadable: Booleans ``[photos]`` in shared memory. A photo that cannot be read is marked
            there, and its image is black; a photo that is marked already is not tried again.
            Without it, such a photo raises a :class:`~carvision.errors.DataError`.
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

    def name(self, index: int) -> str:
        """Return the photo's path, or its position where it came as bytes."""
        source = self._sources[index]
        return f"image {index}" if isinstance(source, bytes) else str(source)

    def _decoded(self, index: int) -> torch.Tensor:
        source, name = self._sources[index], self.name(index)
        how = self._interpolation
        return channels_first(decode(source, self.size, interpolation=how, name=name))


def whole_photo_loader(
    photos: WholePhotos, batch_size: int, config: LoaderConfig, device: str
) -> PhotoLoader[torch.Tensor]:
    """Load all photos in order, in batches ``[B, 3, size, size]`` of uint8."""
    return PhotoLoader(photos, batch_size, config, device)

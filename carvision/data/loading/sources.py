"""The source of a training photo's pixels: its file, or the cache of resized photos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carvision.data.photo.decode import Box, decode


class PhotoSource(Protocol):
    """Photos by their position in a list."""

    def __len__(self) -> int:
        """The number of photos."""

    def crop(self, index: int, size: int, box: Box) -> NDArray[np.uint8]:
        """Load the part ``box`` of a photo, squashed to ``[size, size, 3]``, RGB."""

    def name(self, index: int) -> str:
        """Return the photo's name in an error."""


class OriginalPhotos:
    """The photos' own files."""

    def __init__(self, paths: Sequence[Path], interpolation: str = "bicubic") -> None:
        self._paths = paths
        self._interpolation = interpolation

    def __len__(self) -> int:
        return len(self._paths)

    def crop(self, index: int, size: int, box: Box) -> NDArray[np.uint8]:
        """Load the part ``box`` of a photo, squashed to ``[size, size, 3]``, RGB.

        Raises:
            DataError: the file cannot be read, or was removed.
        """
        return decode(self._paths[index], size, box, interpolation=self._interpolation)

    def name(self, index: int) -> str:
        """Return the photo's path."""
        return str(self._paths[index])

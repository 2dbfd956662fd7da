"""Micro-batches: the parts of a batch that go through the network one at a time."""

from dataclasses import dataclass
from math import ceil

import torch


@dataclass
class MicroBatches:
    """Splits batches into parts of about ``size`` images, none of fewer than ``smallest``.

    Rather than leave a smaller part over, some have an image more than ``size``.
    """

    size: int
    smallest: int

    def split(self, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The parts of ``[B, ...]``, of nearly the same size."""
        return tensor.tensor_split(self._count(len(tensor), self.size))

    def largest(self, images: int) -> int:
        """Images in the largest part of a batch."""
        return ceil(images / self._count(images, self.size))

    def halved(self, images: int) -> int | None:
        """The next smaller size that splits a batch further; None if there is none."""
        now = min(self.size, images)
        smaller = max(now // 2, self.smallest)
        return None if self._count(images, smaller) == self._count(images, now) else smaller

    def _count(self, images: int, size: int) -> int:
        return min(ceil(images / size), max(1, images // self.smallest))

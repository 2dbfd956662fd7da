"""Batches that worker processes write into a ring of shared buffers.

torch's own collation allocates new shared memory for each batch. Where new memory pages are
expensive (in a virtual machine 0.4 ms for a photo of 384 px, as long as its augmentation), buffers
that are used again are several times as fast.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.utils.data import default_collate, get_worker_info

from carvision.errors import DataError


class SharedBatches:
    """Collates images ``[3, H, W]`` of one size, alone or with a target.

    A batch is valid until the next one is requested.
    """

    def __init__(
        self, workers: int, prefetch: int, batch_size: int, shape: tuple[int, int, int]
    ) -> None:
        # One batch is in use, `prefetch` batches wait, and one is being written.
        self._slots = prefetch + 2
        size = (workers, self._slots, batch_size, *shape)
        try:
            self._buffer = torch.empty(size, dtype=torch.uint8).share_memory_()
        except RuntimeError as error:
            raise DataError(
                f"{prod(size) / 2**20:,.0f} MiB of shared memory are not available for the batches "
                f"of {workers} workers: set a smaller loader.workers or loader.prefetch, or give "
                "the container more (docker run --shm-size=4g)"
            ) from error
        self._written = 0

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Write ``samples`` as a batch into this worker's next slot."""
        worker = get_worker_info()
        if worker is None:
            raise RuntimeError("shared batches are written by worker processes")
        slot = self._buffer[worker.id, self._written % self._slots, : len(samples)]
        self._written += 1
        if isinstance(samples[0], torch.Tensor):
            return torch.stack(list(samples), out=slot)
        torch.stack([image for image, _ in samples], out=slot)
        return slot, default_collate([target for _, target in samples])

"""Load photos in batches of uint8, which the device normalises.

A training sampler yields ``(epoch, index)``: augmentation needs no state in the workers, and
persistent workers know the epoch.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, get_worker_info

from carvision.config import LoaderConfig
from carvision.data.loading.shared_batches import SharedBatches
from carvision.errors import CarvisionError, DataError
from carvision.library_settings import set_up_libraries

#: Images ``[B, 3, H, W]`` (uint8) and targets ``[B]`` (int64).
Batch = tuple[torch.Tensor, torch.Tensor]
Item = TypeVar("Item", covariant=True)


class _Photos(Protocol):
    """A data set of photos of one size, each with a name."""

    @property
    def size(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any) -> Any: ...
    def name(self, key: Any) -> str: ...


class PhotoLoader(Generic[Item]):
    """A DataLoader whose errors name the photo, even where a worker process was killed.

    A batch is valid until the next one is requested: with workers, its memory is used again.
    """

    def __init__(
        self,
        photos: _Photos,
        batch_size: int,
        config: LoaderConfig,
        device: str,
        **options: Any,
    ) -> None:
        settings = loader_settings(config, device)
        workers = settings["num_workers"]
        if workers:
            shape = (3, photos.size, photos.size)
            prefetch = settings["prefetch_factor"]
            options["collate_fn"] = SharedBatches(workers, prefetch, batch_size, shape)
        options.setdefault("worker_init_fn", start_worker)
        # For each worker: its process ID, and the index of the photo that it loads.
        self._held = torch.full((max(1, workers), 2), -1, dtype=torch.int64).share_memory_()
        self._photos = photos
        self._loader: DataLoader[Any] = DataLoader(
            _Watched(photos, self._held),  # type: ignore[arg-type]
            batch_size=batch_size,
            # A generator of its own: the loader draws a number from the default one when it
            # starts, which would change the numbers that dropout draws.
            generator=torch.Generator(),
            **settings,
            **options,
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Item]:
        try:
            yield from self._loader
        except CarvisionError as error:
            # torch puts the worker's traceback in front of the message.
            raise type(error)(str(error).rpartition("DataError: ")[2].strip()) from None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Explain the death of a worker in a block that iterates over the batches.

        torch learns of it by a signal, which raises wherever the main process is at that moment.

        Raises:
            DataError: a worker died; the error names its photo.
        """
        try:
            yield
        except RuntimeError as error:
            raise self._explained(error) from error

    def _explained(self, error: RuntimeError) -> Exception:
        died = re.search(r"worker \(pid(?:\(s\))? ([\d, ]+)\)", str(error))
        if died is None:
            return error
        gone = {int(number) for number in died[1].split(",")}
        held = [
            self._photos.name(index)
            for pid, index in self._held.tolist()
            if pid in gone and index >= 0
        ]
        return DataError(
            f"a process that loads photos died ({error}); it held {', '.join(held) or 'no photo'}. "
            "If memory was short, set a smaller loader.workers"
        )


class _Watched:
    """Notes in shared memory which photo this worker loads."""

    def __init__(self, photos: _Photos, held: torch.Tensor) -> None:
        self._photos = photos
        self._held = held

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, key: Any) -> Any:
        worker = get_worker_info()
        if worker is None:
            return self._photos[key]
        index = key[1] if isinstance(key, tuple) else key
        self._held[worker.id, 0] = os.getpid()
        self._held[worker.id, 1] = index
        try:
            return self._photos[key]
        except CarvisionError:
            raise
        except Exception as error:
            name = self._photos.name(index)
            raise DataError(f"the photo {name} cannot be loaded: {error!r}") from error
        finally:
            self._held[worker.id, 1] = -1


def start_worker(worker: int) -> None:
    """Set up a worker process, which may not have inherited the main process's settings."""
    set_up_libraries()


def channels_first(image: NDArray[np.uint8]) -> torch.Tensor:
    """Turn ``[H, W, 3]`` into a tensor ``[3, H, W]``."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def loader_settings(config: LoaderConfig, device: str) -> dict[str, Any]:
    """Choose DataLoader's arguments for ``device``; settings of ``config`` take precedence.

    There are no workers for MPS, where they deadlock. On a CPU, one core decodes while the others
    compute.
    """
    cores = os.cpu_count() or 1
    chosen = {"cuda": min(8, cores - 1), "mps": 0}.get(device, min(1, cores - 1))
    workers = chosen if config.workers is None else config.workers
    pinned = device == "cuda" if config.pin_memory is None else config.pin_memory
    settings: dict[str, Any] = {"num_workers": workers, "pin_memory": pinned}
    if workers:
        # DataLoader refuses these arguments without workers.
        persistent = config.persistent_workers
        settings["persistent_workers"] = True if persistent is None else persistent
        settings["multiprocessing_context"] = config.start_method
        settings["prefetch_factor"] = config.prefetch or 2
    return settings

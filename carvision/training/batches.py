"""The batches that an epoch of training goes over."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from carvision.config import Config
from carvision.data.loading.loader import Batch, PhotoLoader
from carvision.data.loading.training_photos import EpochSampler, TrainingPhotos, training_loader


class TrainingBatches:
    """Augmented photos in batches, in an order that depends on (seed, epoch) alone.

    Each holds the photos of one optimiser step, ``train.batch_size * train.accumulation``.
    """

    def __init__(
        self, photos: TrainingPhotos, image_ids: Sequence[str], config: Config, device: str
    ) -> None:
        self.batch_size = config.train.known_batch_size
        self.images_per_step = self.batch_size * config.train.accumulation
        self._image_ids = image_ids
        self._sampler = EpochSampler(len(photos), config.seed)
        self._loader: PhotoLoader[Batch] = training_loader(
            photos, self._sampler, self.images_per_step, config.loader, device
        )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self._loader)

    @contextmanager
    def of_epoch(self, epoch: int, start: int) -> Iterator[Iterable[Batch]]:
        """The batches of ``epoch`` without its first ``start`` photos.

        Raises:
            DataError: a process that loads photos died while the block ran.
        """
        self._sampler.epoch = epoch
        self._sampler.start = start
        with self._loader.watched():
            yield self._loader

    def image_ids(self, first: int, count: int) -> list[str]:
        """The IDs of ``count`` photos of the epoch, from its photo ``first``."""
        return [self._image_ids[i] for i in self._sampler.order()[first : first + count]]

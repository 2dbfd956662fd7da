"""``train.batch_size=auto``: the largest batch that there is memory for.

It is found by real steps (loss, average, optimiser with its state) on synthetic images, of a
learner of its own that is thrown away: the one that trains never hears of them.
"""

import logging
from math import ceil

import torch

from carvision.config import Config
from carvision.inference import ComputeSettings
from carvision.inference.memory import available_memory, release_memory
from carvision.training.learner import Learner, UpdateCutShortError

log = logging.getLogger(__name__)

#: Beyond it a device computes no faster, and a learning rate fits no more.
_LARGEST = 256
#: Of the memory that is left, the share for what a backward pass keeps, on a CPU. (What a process
#: grew by was 0.9 to 1.05 times that, seen with five backbones; decoders and the system want some.)
_CPU_SHARE = 0.6


def largest_batch(config: Config, classes: int, compute: ComputeSettings, photos: int) -> int:
    """The largest power of two whose batches fit into memory, with room for a quarter more.

    At most 256, and no step needs more than ``photos``. The random state stays as it was, and so
    does the learning rate: what suits it is the user's to say.

    Raises:
        CarvisionError: not even two images fit.
    """
    limit = max(2, min(_LARGEST, photos // config.train.accumulation))
    sizes = [size for size in (2**n for n in range(1, 9)) if size <= limit]
    cards = [torch.cuda.current_device()] if compute.device == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        find = _by_what_is_kept if compute.device == "cpu" else _by_trying
        found = find(config, classes, compute, sizes)
    release_memory(compute.device)
    log.info(
        "%s: train.batch_size=auto takes %d images; optimizer.lr stays %g",
        config.name,
        found,
        config.optimizer.lr,
    )
    return found


def _by_trying(config: Config, classes: int, compute: ComputeSettings, sizes: list[int]) -> int:
    """Double until a step does not fit: devices say so without harm."""
    warnings: list[str] = []
    learner = _throwaway(config, classes, compute, warnings)
    found = sizes[0]
    for size in sizes:
        # A quarter more, and an even number, as mixing needs.
        try:
            _step(learner, config, size + 2 * ceil(size / 8))
        except UpdateCutShortError:
            break
        if warnings:
            break
        found = size
    return found


def _by_what_is_kept(
    config: Config, classes: int, compute: ComputeSettings, sizes: list[int]
) -> int:
    """Reckon from small steps: a machine that is short of memory kills, and says nothing.

    What a step keeps for its backward pass grows with the images. Activations that are computed
    twice count as kept, for they are there while a part of the network goes backward.
    """
    model = config.model.model_copy(update={"grad_checkpointing": False})
    learner = _throwaway(config.model_copy(update={"model": model}), classes, compute, [])
    kept = {images: _kept(learner, config, images) for images in (2, 4)}
    # Bytes and floats of the pixels; batches that add up to a step wait together.
    pixels = config.train.accumulation * 3 * config.train_image_size**2 * (1 + 4)
    an_image = (kept[4] - kept[2]) / 2 + pixels
    gradients = sum(4 * parameter.numel() for parameter in learner.network.parameters())
    room = _CPU_SHARE * (available_memory() - gradients)
    return max((size for size in sizes if size * an_image <= room), default=sizes[0])


def _kept(learner: Learner, config: Config, images: int) -> int:
    """Bytes that the backward pass of a step finds kept, each storage counted once."""
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _step(learner, config, images)
    return sum(storages.values())


def _throwaway(
    config: Config, classes: int, compute: ComputeSettings, warnings: list[str]
) -> Learner:
    """A learner whose weights do not matter, past the epochs in which the head learns alone."""
    model = config.model.model_copy(update={"pretrained": False})
    changed = config.model_copy(update={"model": model}).with_batch_size(_LARGEST)
    learner = Learner(changed, classes, compute, warnings.append)
    learner.start_epoch(config.train.head_first_epochs + 1)
    return learner


def _step(learner: Learner, config: Config, images: int) -> None:
    px, together = config.train_image_size, images * config.train.accumulation
    learner.micro_batch = images
    pixels = torch.randint(0, 256, (together, 3, px, px), dtype=torch.uint8)
    learner.step(pixels, torch.zeros(together, dtype=torch.int64), 0, 1.0)

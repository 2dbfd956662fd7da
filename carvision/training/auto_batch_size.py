"""``train.batch_size=auto``: the largest batch size that fits into memory.

It is found with optimiser steps on synthetic images, by a learner that is thrown away afterwards:
the search leaves no trace in the training that follows.
"""

import logging
from collections.abc import Callable
from functools import partial
from math import ceil

import torch

from carvision.config import Config
from carvision.inference import ComputeSettings
from carvision.inference.memory import available_memory, release_memory
from carvision.training.learner import Learner, UpdateCutShortError

log = logging.getLogger(__name__)

#: Beyond it a device computes no faster, and learning rates are harder to choose.
_LARGEST = 256
#: On a CPU, the share of the free memory that tensors saved for the backward pass may take.
#: (A process grew by 0.9 to 1.05 times these, with five backbones; the rest is for the processes
#: that decode photos, and for the system.)
_CPU_SHARE = 0.6


def largest_batch(config: Config, classes: int, compute: ComputeSettings, photos: int) -> int:
    """The largest power of two whose batches fit into memory, with room for a quarter more.

    At most 256, and no step needs more than ``photos``. The random state and the learning rate
    stay as they are: choosing a learning rate for the batch is left to the user.

    Raises:
        CarvisionError: not even two images fit.
    """
    limit = max(2, min(_LARGEST, photos // config.train.accumulation))
    sizes = [size for size in (2**n for n in range(1, 9)) if size <= limit]
    cards = [torch.cuda.current_device()] if compute.device == "cuda" else []
    with torch.random.fork_rng(devices=cards):
        find = largest_by_estimate if compute.device == "cpu" else largest_by_trial
        found = find(config, classes, compute, sizes)
    release_memory(compute.device)
    log.info(
        "%s: train.batch_size=auto takes %d images; optimizer.lr stays %g",
        config.name,
        found,
        config.optimizer.lr,
    )
    return found


def largest_by_trial(
    config: Config, classes: int, compute: ComputeSettings, sizes: list[int]
) -> int:
    """Try ``sizes`` in turn until a step does not fit: a GPU then raises an error, without harm."""
    warnings: list[str] = []
    learner = _throwaway(config, classes, compute, warnings)
    found = sizes[0]
    for size in sizes:
        # A quarter more, and an even number, as MixUp needs.
        try:
            _step(learner, config, size + 2 * ceil(size / 8))
        except UpdateCutShortError:
            break
        if warnings:
            break
        found = size
    return found


def largest_by_estimate(
    config: Config, classes: int, compute: ComputeSettings, sizes: list[int]
) -> int:
    """Extrapolate from small steps: a machine that runs out of memory kills the process.

    The tensors that a step saves for its backward pass grow with the images. Activations that
    gradient checkpointing would compute twice count as saved, because they are in memory while
    their part of the network goes backward.
    """
    model = config.model.model_copy(update={"grad_checkpointing": False})
    learner = _throwaway(config.model_copy(update={"model": model}), classes, compute, [])
    saved = {n: bytes_saved_for_backward(partial(_step, learner, config, n)) for n in (2, 4)}
    # The pixels as bytes and as floats; the batches of one step are in memory together.
    pixels = config.train.accumulation * 3 * config.train_image_size**2 * (1 + 4)
    per_image = (saved[4] - saved[2]) / 2 + pixels
    gradients = sum(4 * parameter.numel() for parameter in learner.network.parameters())
    room = _CPU_SHARE * (available_memory() - gradients)
    return max((size for size in sizes if size * per_image <= room), default=sizes[0])


def bytes_saved_for_backward(step: Callable[[], object]) -> int:
    """Bytes of the tensors that ``step`` saves for its backward pass, each storage counted once."""
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storages.values())


def _throwaway(
    config: Config, classes: int, compute: ComputeSettings, warnings: list[str]
) -> Learner:
    """A learner with random weights, past the epochs in which the classifier learns alone."""
    model = config.model.model_copy(update={"pretrained": False})
    # Two sizes are compared: both are mixed, or none.
    mixing = config.mixing.model_copy(update={"p": 1.0 if config.mixing.active else 0.0})
    changed = config.model_copy(update={"model": model, "mixing": mixing})
    changed = changed.with_batch_size(_LARGEST)
    learner = Learner(changed, classes, compute, warnings.append)
    learner.start_epoch(config.train.head_first_epochs + 1)
    return learner


def _step(learner: Learner, config: Config, images: int) -> None:
    px, together = config.train_image_size, images * config.train.accumulation
    learner.micro_batch = images
    pixels = torch.randint(0, 256, (together, 3, px, px), dtype=torch.uint8)
    learner.step(pixels, torch.zeros(together, dtype=torch.int64))

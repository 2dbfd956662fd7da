"""``what=backbones``: one training step of each backbone of the plan at its real size.

Each is measured in its own process, with random weights, which do not change the cost of a step.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from carvision.benchmarks.contest import contest
from carvision.benchmarks.rows import Row
from carvision.config import Config
from carvision.inference import ComputeSettings
from carvision.inference.memory import configure_allocator
from carvision.models import build_model
from carvision.training import CheckpointWriter, Learner

_BATCH = 2
_CLASSES = 396


def backbone_rows(
    configs: Sequence[Config], progress: Callable[[int], None] = lambda done: None
) -> list[Row]:
    """Parameters, seconds and peak memory of a step of two images at ``model.image_size``."""
    rows = []
    for config in configs:
        step = contest({config.name: partial(_build_step, config)}, passes=1)[config.name]
        with torch.device("meta"):
            network = build_model(config, _CLASSES, pretrained=False)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        name = f"{config.name}, {config.model.image_size} px"
        rows += [
            Row(f"{name}, parameters", parameters / 1e6, "million"),
            Row(f"{name}, step of {_BATCH}", _BATCH / step.rate, "s"),
            Row.within(f"{name}, peak memory", step.memory / 2**30, "GiB", 24),
        ]
        progress(1)
    return rows


def checkpoint_rows(config: Config, work: Path) -> list[Row]:
    """How long a checkpoint blocks training, after a first one that allocates the buffers."""
    learner = _learner(config)
    writer = CheckpointWriter(work / "checkpoints")
    seconds = whole = 0.0
    for step in (1, 2):
        started = time.perf_counter()
        writer.write(step, {"learner": learner.state_dict()})
        seconds = time.perf_counter() - started
        writer.wait()
        whole = time.perf_counter() - started
    size = sum(path.stat().st_size for path in (work / "checkpoints").glob("*2.pt"))
    return [
        Row.within(f"{config.name}, a checkpoint blocks training", seconds, "s", 2),
        Row(f"{config.name}, a checkpoint is on disk after", whole, "s"),
        Row(f"{config.name}, a checkpoint", size / 2**30, "GiB"),
    ]


def _learner(config: Config) -> Learner:
    size = {"batch_size": _BATCH, "image_size": config.model.image_size}
    model = config.model.model_copy(update={"pretrained": False})
    train = config.train.model_copy(update=size)
    changed = config.model_copy(update={"model": model, "train": train})
    compute = ComputeSettings.of(changed)
    configure_allocator(compute.device)
    learner = Learner(changed, _CLASSES, compute, lambda message: None)
    learner.start_epoch(1)
    px = config.model.image_size
    images = torch.zeros(_BATCH, 3, px, px, dtype=torch.uint8)
    learner.step(images, torch.zeros(_BATCH, dtype=torch.int64))
    return learner


def _build_step(config: Config) -> Callable[[], int]:
    # Every core, as in a user's training.
    torch.set_num_threads(os.cpu_count() or 1)
    learner = _learner(config)
    px = config.model.image_size
    images = torch.randint(0, 256, (_BATCH, 3, px, px), dtype=torch.uint8)

    def run() -> int:
        learner.step(images, torch.tensor([0, 1]))
        return _BATCH

    return run

"""timm's training script, assembled from timm's functions: its wheel does not contain the script.

The script's defaults (``train.py`` of huggingface/pytorch-image-models): random resized crops of 8
to 100 % of the area, flips, colour jitter 0.4, random interpolation, label smoothing 0.1, float32,
cosine over epochs after five of warm-up; here with AdamW and weight decay 0.05. Like the script,
it keeps the checkpoint of its best epoch (``--eval-metric loss``).
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from carvision.config import Config
from carvision.metrics import validation_metrics
from carvision.models import build_model, preprocessing_of
from carvision.models.timm_api import load_timm
from carvision.models.torchvision_import import ensure_torchvision

# A loader's worker that was spawned imports this module, then torchvision for the transform.
ensure_torchvision()


class LabelledPhotos(Dataset[tuple[Any, int]]):
    """Photos with their classes; timm's loader sets the transform."""

    transform: Any = None

    def __init__(self, paths: Sequence[Path], targets: Sequence[int]) -> None:
        self.paths = paths
        self.targets = targets

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = Image.open(self.paths[index]).convert("RGB")
        return self.transform(image), self.targets[index]


@dataclass(frozen=True)
class TimmResult:
    """The network of the script's best epoch, its training images a second, minutes of all epochs.

    ``log_p`` ``[images, classes]`` are the network's log-probabilities of the validation photos, as
    the script crops them.
    """

    network: nn.Module
    images_per_second: float
    minutes: float
    log_p: NDArray[np.float32]


def train_as_timm(
    config: Config, classes: int, training: LabelledPhotos, validation: LabelledPhotos, lr: float
) -> TimmResult:
    """Train as the script would, from the same weights, with the same batch, at ``image_size``."""
    timm = load_timm()
    torch.manual_seed(config.seed)
    epochs = config.train.epochs
    settings = _loader_settings(config)
    loader = timm.data.create_loader(training, is_training=True, interpolation="random", **settings)
    network = build_model(config, classes, pretrained=True)
    optimizer = timm.optim.create_optimizer_v2(network, opt="adamw", lr=lr, weight_decay=0.05)
    scheduler, _ = timm.scheduler.create_scheduler_v2(
        optimizer,
        num_epochs=epochs,
        warmup_epochs=5,
        warmup_lr=1e-5,
        updates_per_epoch=len(loader),
    )
    true_classes = np.asarray(validation.targets)
    best_loss, best, best_log_p = inf, network.state_dict(), np.empty(0, np.float32)
    started, images, seconds = time.perf_counter(), 0, 0.0
    for epoch in range(epochs):
        epoch_started = time.perf_counter()
        images += _train_epoch(network, loader, optimizer)
        seconds += time.perf_counter() - epoch_started
        scheduler.step(epoch + 1)
        log_p = predict_cropped(network, validation, settings)
        loss = validation_metrics(log_p, true_classes)["val/log_loss"]
        if loss < best_loss:
            best_loss, best, best_log_p = loss, deepcopy(network.state_dict()), log_p
    minutes = (time.perf_counter() - started) / 60
    network.load_state_dict(best)
    return TimmResult(network, images / seconds, minutes, best_log_p)


def predict_cropped(
    network: nn.Module, photos: LabelledPhotos, settings: dict[str, Any]
) -> NDArray[np.float32]:
    """Log-probabilities ``[images, classes]`` of the script's own centre crops."""
    network.eval()
    loader = load_timm().data.create_loader(
        photos, is_training=False, interpolation="bicubic", **settings
    )
    with torch.inference_mode():
        batches = [network(images).log_softmax(1) for images, _ in loader]
    return torch.cat(batches).numpy()


def _loader_settings(config: Config) -> dict[str, Any]:
    """What timm's loaders of training and of validation have in common."""
    px = config.model.image_size
    cfg = preprocessing_of(config)
    return {
        "input_size": (3, px, px),
        "batch_size": config.train.known_batch_size,
        "mean": cfg.mean,
        "std": cfg.std,
        "num_workers": 1,
        "device": torch.device("cpu"),
    }


def _train_epoch(network: nn.Module, loader: Any, optimizer: torch.optim.Optimizer) -> int:
    """Train for an epoch; return the number of images."""
    network.train()
    loss_of = load_timm().loss.LabelSmoothingCrossEntropy(smoothing=0.1)
    count = 0
    for images, targets in loader:
        loss_of(network(images), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        count += len(images)
    return count

"""The best epoch so far: its metrics, its weights on disk, its predictions of the original view."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from carvision.files import replacing


@dataclass(frozen=True)
class Best:
    """An epoch's lowest validation loss, and whether it was the averaged network's."""

    epoch: int
    averaged: bool
    metrics: dict[str, float]
    log_p: torch.Tensor

    @property
    def loss(self) -> float:
        """What it is chosen by."""
        return self.metrics["val/log_loss"]


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's state as safetensors, whole or not at all."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file(state, temporary)

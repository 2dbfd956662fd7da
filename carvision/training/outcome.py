"""What the epochs came to: each one's scores; of the best one weights and predictions."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from carvision.contracts import VIEWS, Predictions
from carvision.files import replacing
from carvision.training.validation import Score, Validation


@dataclass(frozen=True)
class Best:
    """An epoch's lowest validation loss, and whether it was the averaged network's.

    ``log_p`` is of the original view, ``[1, images, classes]``.
    """

    epoch: int
    averaged: bool
    metrics: dict[str, float]
    log_p: torch.Tensor

    @property
    def loss(self) -> float:
        """What it is chosen by."""
        return self.metrics["val/log_loss"]


class Outcome:
    """Takes in the epochs' scores; keeps the best one's weights in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.weights = folder / "best.safetensors"
        self._best: Best | None = None
        self._true_class: list[torch.Tensor] = []

    @property
    def best(self) -> Best:
        """The best epoch; there is one as soon as one has ended."""
        assert self._best is not None
        return self._best

    @property
    def epochs_true_class(self) -> NDArray[np.float32]:
        """The true class's log-probability at each epoch's end, ``[epochs, images]``."""
        return torch.stack(self._true_class).numpy()

    def take(self, epoch: int, averaged: bool, network: nn.Module, score: Score) -> None:
        """An epoch has ended with ``network``, the better one of the raw and the averaged."""
        self._true_class.append(torch.from_numpy(score.true_class))
        if self._best is None or score.loss < self._best.loss:
            _save_weights(network, self.weights)
            self._best = Best(epoch, averaged, score.metrics, torch.from_numpy(score.log_p))

    def predictions(
        self, network: nn.Module, validation: Validation
    ) -> tuple[Predictions, dict[str, float]]:
        """All views of the validation photos, and what making them cost, decoding included.

        ``network`` is left with the best weights.
        """
        network.load_state_dict(load_file(self.weights))
        # The best epoch's original view is known already.
        started = time.perf_counter()
        rest = torch.from_numpy(validation.predict(network, VIEWS[1:]))
        seconds = time.perf_counter() - started
        both = torch.cat([self.best.log_p, rest]).numpy()
        passes = rest.shape[0] * rest.shape[1]
        measured = {"predict/seconds_per_1000": 1000 * seconds / passes}
        return Predictions(validation.index, VIEWS, both), measured

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "best": None if self._best is None else vars(self._best),
            "true_class": list(self._true_class),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self._best = None if state["best"] is None else Best(**state["best"])
        self._true_class = list(state["true_class"])


def _save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's state as safetensors, whole or not at all."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file(state, temporary)

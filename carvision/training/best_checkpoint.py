"""Tracks per-epoch scores and keeps the best checkpoint.

Each best epoch's weights have a file of their own, named after the epoch. A training checkpoint
names that file and its SHA-256, so the file stays as long as a checkpoint that training may go on
from names it.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from carvision.contracts import VIEWS, Predictions
from carvision.errors import CarvisionError
from carvision.files import link_or_copy, replacing, sha256_of
from carvision.training.validation import Evaluation, Validation

log = logging.getLogger(__name__)

_FILES = "best-epoch*.safetensors"
#: Checkpoints whose best weights stay: the two that are kept, and the one that is being written.
_CHECKPOINTS = 3


@dataclass(frozen=True)
class BestEpoch:
    """The epoch of the lowest validation loss, and whether the averaged network reached it.

    ``log_p`` is of the original view, ``[1, images, classes]``; ``weights`` is a file's name.
    """

    epoch: int
    averaged: bool
    metrics: dict[str, float]
    log_p: torch.Tensor
    weights: str
    sha256: str

    @property
    def loss(self) -> float:
        """The log loss, by which epochs are compared."""
        return self.metrics["val/log_loss"]


class BestCheckpoint:
    """Records each epoch's evaluation and keeps the weights of the best one in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._best: BestEpoch | None = None
        self._true_class: list[torch.Tensor] = []
        # The weights that the checkpoints of this process name, the oldest first.
        self._named: list[str | None] = []
        # Half-written files that a killed process left.
        for leftover in folder.glob(".best*"):
            leftover.unlink()

    @property
    def best(self) -> BestEpoch:
        """The best epoch so far; there must have been one."""
        assert self._best is not None
        return self._best

    @property
    def epochs_true_class(self) -> NDArray[np.float32]:
        """The true class's log-probability after each epoch, ``[epochs, images]``."""
        return torch.stack(self._true_class).numpy()

    def record(
        self, epoch: int, averaged: bool, network: nn.Module, evaluation: Evaluation
    ) -> None:
        """Record an epoch by its better network, raw or averaged; save it if it is the best."""
        self._true_class.append(torch.from_numpy(evaluation.true_class))
        if self._best is None or evaluation.loss < self._best.loss:
            path = self._folder / _FILES.replace("*", f"{epoch:04d}")
            checksum = _save_weights(network, path)
            log_p = torch.from_numpy(evaluation.log_p)
            self._best = BestEpoch(epoch, averaged, evaluation.metrics, log_p, path.name, checksum)

    def predictions(
        self, network: nn.Module, validation: Validation
    ) -> tuple[Predictions, dict[str, float]]:
        """Predict all views of the validation photos with the best weights, timed with decoding.

        ``network`` is left with these weights.
        """
        network.load_state_dict(load_file(self._folder / self.best.weights))
        # The original view was predicted when the epoch was evaluated.
        started = time.perf_counter()
        rest = torch.from_numpy(validation.predict(network, VIEWS[1:]))
        seconds = time.perf_counter() - started
        log_p = torch.cat([self.best.log_p, rest]).numpy()
        passes = rest.shape[0] * rest.shape[1]
        measured = {"predict/seconds_per_1000": 1000 * seconds / passes}
        return Predictions(validation.index, VIEWS, log_p), measured

    def final_weights(self) -> Path:
        """Give the best weights a name without an epoch; return their path."""
        path = self._folder / "best.safetensors"
        path.unlink(missing_ok=True)
        link_or_copy(self._folder / self.best.weights, path)
        return path

    def checkpoint_started(self) -> None:
        """Note that a checkpoint of this state is being written; remove unreferenced weights."""
        self._named.append(None if self._best is None else self._best.weights)
        # Checkpoints of an earlier process may be left, whose weights are not known here.
        if len(self._named) < _CHECKPOINTS:
            return
        del self._named[:-_CHECKPOINTS]
        for path in self._folder.glob(_FILES):
            if path.name not in self._named:
                path.unlink()

    def state_dict(self) -> dict[str, Any]:
        """The recorded epochs, for a checkpoint."""
        return {
            "best": None if self._best is None else vars(self._best),
            "true_class": list(self._true_class),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._best = None if state["best"] is None else BestEpoch(**state["best"])
        self._true_class = list(state["true_class"])


def has_best_weights(folder: Path, state: dict[str, Any]) -> bool:
    """Whether the weights that a :class:`BestCheckpoint`'s state names are intact in ``folder``."""
    if state["best"] is None:
        return True
    path = folder / state["best"]["weights"]
    intact = path.is_file() and sha256_of(path) == state["best"]["sha256"]
    if not intact:
        log.warning("%s, the best weights of a checkpoint, is damaged or gone", path)
    return intact


def _save_weights(network: nn.Module, path: Path) -> str:
    """Write a network's state as safetensors, whole or not at all; return the file's SHA-256."""
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    try:
        with replacing(path) as temporary:
            save_file(state, temporary)
            return sha256_of(temporary)
    except (OSError, SafetensorError) as error:
        raise CarvisionError(
            f"the best weights {path} cannot be written: {error}; make room, then run the same "
            "command again: it goes on from the last checkpoint"
        ) from error

"""What the epochs came to: each one's scores; of the best one weights and predictions.

The best weights have a file of their own, named after the epoch; a checkpoint holds its SHA-256. A
file stays as long as a checkpoint that may be gone on from names it.
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
from carvision.training.validation import Score, Validation

log = logging.getLogger(__name__)

_FILES = "best-epoch*.safetensors"


@dataclass(frozen=True)
class BestEpoch:
    """An epoch's lowest validation loss, and whether it was the averaged network's.

    ``log_p`` is of the original view, ``[1, images, classes]``; ``weights`` the file's name.
    """

    epoch: int
    averaged: bool
    metrics: dict[str, float]
    log_p: torch.Tensor
    weights: str
    sha256: str

    @property
    def loss(self) -> float:
        """What it is chosen by."""
        return self.metrics["val/log_loss"]


class BestCheckpoint:
    """Takes in the epochs' scores; keeps the best one's weights in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._best: BestEpoch | None = None
        # Of the last checkpoints, the oldest first; as far as this process has written them.
        self._named: list[str | None] = []
        # What a kill left half-written.
        for leftover in folder.glob(".best*"):
            leftover.unlink()
        self._true_class: list[torch.Tensor] = []

    @property
    def best(self) -> BestEpoch:
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
            path = self._folder / _FILES.replace("*", f"{epoch:04d}")
            checksum = _save_weights(network, path)
            log_p = torch.from_numpy(score.log_p)
            self._best = BestEpoch(epoch, averaged, score.metrics, log_p, path.name, checksum)

    def predictions(
        self, network: nn.Module, validation: Validation
    ) -> tuple[Predictions, dict[str, float]]:
        """All views of the validation photos, and what making them cost, decoding included.

        ``network`` is left with the best weights.
        """
        network.load_state_dict(load_file(self._folder / self.best.weights))
        # The best epoch's original view is known already.
        started = time.perf_counter()
        rest = torch.from_numpy(validation.predict(network, VIEWS[1:]))
        seconds = time.perf_counter() - started
        both = torch.cat([self.best.log_p, rest]).numpy()
        passes = rest.shape[0] * rest.shape[1]
        measured = {"predict/seconds_per_1000": 1000 * seconds / passes}
        return Predictions(validation.index, VIEWS, both), measured

    def final_weights(self) -> Path:
        """The best weights under a name that tells no epoch."""
        path = self._folder / "best.safetensors"
        path.unlink(missing_ok=True)
        link_or_copy(self._folder / self.best.weights, path)
        return path

    def checkpointed(self) -> None:
        """A checkpoint of this state is being written: remove weights that none names any more.

        Beside it there are the two before, until it is whole.
        """
        self._named.append(None if self._best is None else self._best.weights)
        if len(self._named) < 3:
            return  # what stopped earlier has left checkpoints whose weights are not known here
        del self._named[:-3]
        for path in self._folder.glob(_FILES):
            if path.name not in self._named:
                path.unlink()

    def is_there(self, state: dict[str, Any]) -> bool:
        """Whether the weights that ``state`` names are in the folder, as they were written."""
        if state["best"] is None:
            return True
        path = self._folder / state["best"]["weights"]
        sound = path.is_file() and sha256_of(path) == state["best"]["sha256"]
        if not sound:
            log.warning("%s, the best weights of a checkpoint, is damaged or gone", path)
        return sound

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "best": None if self._best is None else vars(self._best),
            "true_class": list(self._true_class),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self._best = None if state["best"] is None else BestEpoch(**state["best"])
        self._true_class = list(state["true_class"])


def _save_weights(network: nn.Module, path: Path) -> str:
    """Write a network's state as safetensors, whole or not at all; the file's SHA-256."""
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

"""Early sight of overfitting, and when to stop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

#: Epochs in a row of falling training loss and rising validation loss that are worth a word.
_RISES = 2


@dataclass
class EarlyStopping:
    """What each epoch's losses say of the whole; plain values, kept in checkpoints."""

    patience: int | None
    losses: list[tuple[float, float]] = field(default_factory=list)
    warned: bool = False

    def overfits(self, metrics: Mapping[str, float]) -> bool:
        """Take an epoch in; True, once, when validation got worse while training got better."""
        self.losses.append((metrics["train/loss"], metrics["val/log_loss"]))
        recent = self.losses[-_RISES - 1 :]
        rising = len(recent) > _RISES and all(
            after[0] < before[0] and after[1] > before[1] for before, after in pairwise(recent)
        )
        first = rising and not self.warned
        self.warned = self.warned or rising
        return first

    @property
    def should_stop(self) -> bool:
        """Whether ``patience`` epochs went by without a better validation loss."""
        if self.patience is None or not self.losses:
            return False
        validation = [loss for _, loss in self.losses]
        return len(validation) - 1 - validation.index(min(validation)) >= self.patience

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"losses": [list(pair) for pair in self.losses], "warned": self.warned}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self.losses = [(pair[0], pair[1]) for pair in state["losses"]]
        self.warned = state["warned"]

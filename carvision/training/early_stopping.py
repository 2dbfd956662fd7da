"""Early stopping and overfitting warning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

#: Consecutive epochs of falling training loss and rising validation loss that count as overfitting.
_RISES = 2


@dataclass
class EarlyStopping:
    """Watches the training and validation loss of each epoch.

    ``patience`` is how many epochs may pass without a better validation loss; None never stops.
    """

    patience: int | None
    losses: list[tuple[float, float]] = field(default_factory=list)
    warned: bool = False

    def update(self, training_loss: float, validation_loss: float) -> bool:
        """Record an epoch; return True when overfitting shows for the first time."""
        self.losses.append((training_loss, validation_loss))
        recent = self.losses[-_RISES - 1 :]
        overfits = len(recent) > _RISES and all(
            after[0] < before[0] and after[1] > before[1] for before, after in pairwise(recent)
        )
        first = overfits and not self.warned
        self.warned = self.warned or overfits
        return first

    @property
    def should_stop(self) -> bool:
        """Whether ``patience`` epochs have passed without a better validation loss."""
        if self.patience is None or not self.losses:
            return False
        validation = [loss for _, loss in self.losses]
        return len(validation) - 1 - validation.index(min(validation)) >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """The recorded epochs, for a checkpoint."""
        return {"losses": [list(pair) for pair in self.losses], "warned": self.warned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.losses = [(pair[0], pair[1]) for pair in state["losses"]]
        self.warned = state["warned"]

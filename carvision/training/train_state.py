"""How far a fold's training is."""

from dataclasses import dataclass


@dataclass
class TrainState:
    """Plain values, kept in checkpoints; all but ``step`` are of the present epoch.

    ``images`` and ``steps`` are done, ``loss_sum`` is over these steps, and ``lr`` is the learning
    rate of the last one.
    """

    epoch: int = 1
    step: int = 0
    images: int = 0
    steps: int = 0
    loss_sum: float = 0.0
    lr: float = 0.0

    @property
    def mean_loss(self) -> float:
        """The mean over the epoch's steps so far."""
        return self.loss_sum / self.steps

    def count_step(self, images: int, loss: float, lr: float) -> None:
        """Count an optimiser step."""
        self.step += 1
        self.steps += 1
        self.images += images
        self.loss_sum += loss
        self.lr = lr

    def next_epoch(self) -> "TrainState":
        """The state before the first step of the next epoch."""
        return TrainState(self.epoch + 1, self.step)

"""How far a fold's training is."""

from dataclasses import dataclass


@dataclass
class TrainState:
    """Plain values, kept in checkpoints; all but ``step`` are of the present epoch."""

    epoch: int = 1
    step: int = 0
    images: int = 0
    steps: int = 0
    loss_sum: float = 0.0

"""How training and inference speak to the outside, whatever listens there."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Tracker(Protocol):
    """What a fold's training reports while it runs. Epochs and steps count from 1.

    A tracker that inherits from this hears only of what it overrides.
    """

    def run_started(self, description: str, total_steps: int) -> None:
        """Training starts; ``total_steps`` optimiser steps are planned."""
        return

    def step_ended(self, step: int, loss: float) -> None:
        """One optimiser step is done; ``loss`` is the running mean of the epoch so far."""
        return

    def images_predicted(self, done: int, total: int) -> None:
        """Validation goes on; a photo counts once for each of its views."""
        return

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch was trained and validated."""
        return

    def checkpoint_written(self, path: Path, epoch: int) -> None:
        """A checkpoint is on its way to ``path``, from which training would go on in ``epoch``."""
        return

    def warning(self, message: str) -> None:
        """Something the user should know, which does not stop the run."""
        return


class TrackerGroup:
    """Several trackers as one."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def run_started(self, description: str, total_steps: int) -> None:
        for tracker in self._trackers:
            tracker.run_started(description, total_steps)

    def step_ended(self, step: int, loss: float) -> None:
        for tracker in self._trackers:
            tracker.step_ended(step, loss)

    def images_predicted(self, done: int, total: int) -> None:
        for tracker in self._trackers:
            tracker.images_predicted(done, total)

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.epoch_ended(epoch, metrics)

    def checkpoint_written(self, path: Path, epoch: int) -> None:
        for tracker in self._trackers:
            tracker.checkpoint_written(path, epoch)

    def warning(self, message: str) -> None:
        for tracker in self._trackers:
            tracker.warning(message)

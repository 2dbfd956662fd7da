"""The callback protocol: how a running training reports to whatever tracks it."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Tracker(Protocol):
    """Receives the events of one fold's training. Epochs and steps count from 1.

    A subclass overrides the events that it needs; the others do nothing.
    """

    def run_started(self, description: str, total_steps: int) -> None:
        """Training starts; ``total_steps`` optimiser steps are planned."""
        return

    def step_ended(self, step: int, loss: float) -> None:
        """An optimiser step is done; ``loss`` is the mean over the epoch's steps so far."""
        return

    def images_predicted(self, done: int, total: int) -> None:
        """Validation has predicted ``done`` of ``total`` images; each view of a photo is one."""
        return

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch was trained and validated."""
        return

    def warning(self, message: str) -> None:
        """The user should know of something that does not stop the training."""
        return


class TrackerGroup(Tracker):
    """Forwards each event to several trackers, in their order."""

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

    def warning(self, message: str) -> None:
        for tracker in self._trackers:
            tracker.warning(message)

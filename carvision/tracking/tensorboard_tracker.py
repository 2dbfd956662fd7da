"""A tracker that writes a fold's training for TensorBoard: ``tensorboard --logdir FOLDER``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from carvision.tracking.closing_tracker import ClosingTracker
from carvision.tracking.event_log import STEPS_APART

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardTracker(ClosingTracker):
    """Writes the metrics of epochs and the running loss of steps as event files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def step_ended(self, step: int, loss: float) -> None:
        writer = self._writer_from(step)
        if step % STEPS_APART == 0:
            writer.add_scalar("steps/train_loss", loss, step)

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        writer = self._writer_from(None)
        for name, value in metrics.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    def close(self, *, failed: bool = False) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _writer_from(self, step: int | None) -> "SummaryWriter":
        """The writer, opened at the first step that this process reports.

        Later steps of an interrupted process are removed: training does them again. Epochs, whose
        numbers are lower than those of steps, stay.
        """
        if self._writer is None:
            # Imported here, because it takes a moment that other commands do not need.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step, flush_secs=10)
        return self._writer

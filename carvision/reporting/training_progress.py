"""A fold's training on the terminal: a bar while it runs, a line an epoch."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.progress import TextColumn

from carvision.contracts import Tracker
from carvision.reporting.console import console, progress_bar


class TrainingProgress(Tracker):
    """A tracker that shows steps, the current losses and the time left."""

    def __init__(self) -> None:
        self._bar = progress_bar(
            TextColumn("loss {task.fields[loss]}"), TextColumn("val {task.fields[val]}")
        )
        self._task = self._bar.add_task("starting", total=None, loss="–", val="–")
        self._validation = self._bar.add_task("  validating", visible=False, loss="–", val="–")
        self._description = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def run_started(self, description: str, total_steps: int) -> None:
        self._description = description
        self._bar.update(self._task, description=description, total=total_steps)

    def step_ended(self, step: int, loss: float) -> None:
        self._bar.update(self._task, completed=step, loss=f"{loss:.3f}")

    def images_predicted(self, done: int, total: int) -> None:
        self._bar.update(self._validation, completed=done, total=total, visible=done < total)

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._bar.update(self._task, val=f"{metrics['val/log_loss']:.4f}")
        console.print(
            f"{self._description} epoch {epoch:>2}: train {metrics['train/loss']:.4f}, "
            f"val log loss {metrics['val/log_loss']:.4f}, "
            f"accuracy {metrics['val/accuracy']:.2%}, "
            f"{metrics['images_per_second']:.0f} images/s",
            highlight=False,
            soft_wrap=True,
        )

    def warning(self, message: str) -> None:
        console.print(f"warning: {message}", style="yellow")

"""A tracker that shows a fold's training on the terminal: a bar, and a line for each epoch."""

from collections.abc import Mapping
from typing import Self

from carvision.reporting.console import progress_bar, text_column
from carvision.reporting.progress_lines import ProgressLines
from carvision.reporting.terminal import console
from carvision.tracking.closing_tracker import ClosingTracker

#: An epoch's metrics: name, heading, format, width; with the epoch's number they fit 80 columns.
_COLUMNS = (
    ("train/loss", "train", ".4f", 8),
    ("val/log_loss", "log loss", ".4f", 8),
    ("val/accuracy", "accuracy", ".2%", 8),
    ("val/top5", "top-5", ".2%", 7),
    ("val/ece", "cal. error", ".4f", 10),
    ("lr", "lr", ".2e", 8),
    ("images_per_second", "images/s", ".1f", 8),
    ("memory_gib", "GiB", ".1f", 5),
)
_HEAD = " ".join(["epoch", *(title.rjust(width) for _, title, _, width in _COLUMNS)])


class TrainingProgress(ClosingTracker):
    """A tracker that shows steps, the current loss and the time left.

    A terminal gets bars. A file gets lines, from time to time within an epoch as well.
    """

    def __init__(self) -> None:
        self.bars = progress_bar(text_column("loss {task.fields[loss]}"))
        self._task = self.bars.add_task("starting", total=None, loss="–")
        self._validation = self.bars.add_task("  validating", visible=False, loss="–")
        self._description = ""
        self._headed = False
        self._total: int | None = None
        self._lines = None if console.is_interactive else ProgressLines()

    def __enter__(self) -> Self:
        if self._lines is None:
            self.bars.start()
        return super().__enter__()

    def close(self, *, failed: bool = False) -> None:
        if self._lines is None:
            self.bars.stop()

    def run_started(self, description: str, total_steps: int) -> None:
        self._description, self._total = description, total_steps
        self.bars.update(self._task, description=description, total=total_steps)

    def step_ended(self, step: int, loss: float) -> None:
        self.bars.update(self._task, completed=step, loss=f"{loss:.3f}")
        if self._lines is not None:
            self._lines.advanced(
                f"{self._description}, loss {loss:.3f}", step, self._total, "step "
            )

    def images_predicted(self, done: int, total: int) -> None:
        self.bars.update(self._validation, completed=done, total=total, visible=done < total)
        if self._lines is not None:
            self._lines.still(f"{self._description}, validating: photo {done:,} of {total:,}")

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        if not self._headed:
            # Once for each process: its output does not show epochs of an earlier process.
            _line(f"{self._description}\n{_HEAD}", style="bold")
            self._headed = True
        cells = [f"{metrics[name]:{form}}".rjust(width) for name, _, form, width in _COLUMNS]
        _line(" ".join([f"{epoch:>5}", *cells]))
        if self._lines is not None:
            self._lines.postpone()

    def warning(self, message: str) -> None:
        _line(f"warning: {message}", style="yellow")


def _line(text: str, style: str | None = None) -> None:
    console.print(text, style=style, soft_wrap=True)

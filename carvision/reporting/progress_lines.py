"""Progress as lines of text, for an output that is a file, where no bar can be drawn."""

from time import monotonic

from carvision.reporting.terminal import console

#: Between two lines: seconds, and a share of the time that has passed, so that files stay short.
_SECONDS = 15.0
_SHARE = 0.02


class ProgressLines:
    """Prints a line from time to time, with the time that is left."""

    def __init__(self) -> None:
        self._started = self._printed = monotonic()
        self._first: tuple[int, float] | None = None

    def advanced(self, description: str, done: int, total: int | None, unit: str = "") -> None:
        """Print that ``done`` of ``total`` items are done, if a line is due."""
        if self._first is None:
            self._first = done, monotonic()
        if not self._due():
            return
        line = f"{description}: {unit}{done:,}"
        if total is not None:
            line += f" of {total:,}"
            before, begun = self._first
            if before < done <= total:
                pace = (monotonic() - begun) / (done - before)
                line += f", about {duration(pace * (total - done))} left"
        console.print(line, soft_wrap=True)

    def still(self, line: str) -> None:
        """Print ``line``, if a line is due."""
        if self._due():
            console.print(line, soft_wrap=True)

    def _due(self) -> bool:
        now = monotonic()
        due = now - self._printed >= max(_SECONDS, _SHARE * (now - self._started))
        if due:
            self._printed = now
        return due

    def postpone(self) -> None:
        """Wait for the next line as if one had just been printed."""
        self._printed = monotonic()

    def ended(self, description: str, done: int) -> None:
        """Print how many items were done and how long it took, if it took long."""
        passed = monotonic() - self._started
        if passed >= _SECONDS:
            console.print(f"{description}: {done:,} in {duration(passed)}", soft_wrap=True)


def duration(seconds: float) -> str:
    """Format a time: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

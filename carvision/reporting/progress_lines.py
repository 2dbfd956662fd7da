"""How far a long piece of work is, in lines: where the output is a file, no bar can be drawn."""

from time import monotonic

from carvision.reporting.terminal import console

#: Seconds between two lines, and the share of all that has passed: hours do not fill a file.
_SECONDS = 15.0
_SHARE = 0.02


class ProgressLines:
    """Prints a line now and then, with the time that is left."""

    def __init__(self) -> None:
        self._started = self._told = monotonic()
        self._first: tuple[int, float] | None = None

    def advanced(self, description: str, done: int, total: int | None, unit: str = "") -> None:
        """Tell that ``done`` of ``total`` is done, if it is time for a line."""
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
        """Print ``line``, if it is time for one."""
        if self._due():
            console.print(line, soft_wrap=True)

    def _due(self) -> bool:
        now = monotonic()
        due = now - self._told >= max(_SECONDS, _SHARE * (now - self._started))
        if due:
            self._told = now
        return due

    def postpone(self) -> None:
        """Something else was printed just now."""
        self._told = monotonic()

    def ended(self, description: str, done: int) -> None:
        """Tell what was done, where it took long enough to wonder."""
        passed = monotonic() - self._started
        if passed >= _SECONDS:
            console.print(f"{description}: {done:,} in {duration(passed)}", soft_wrap=True)


def duration(seconds: float) -> str:
    """Time as people say it: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

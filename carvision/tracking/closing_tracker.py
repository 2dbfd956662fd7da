"""The base of trackers that are closed when the training has ended."""

from abc import abstractmethod
from types import TracebackType
from typing import Self

from carvision.contracts import Tracker


class ClosingTracker(Tracker):
    """A tracker for a ``with`` block around the training."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(failed=error is not None)

    @abstractmethod
    def close(self, *, failed: bool = False) -> None:
        """Write what is left; ``failed`` tells whether the training ended with an error."""

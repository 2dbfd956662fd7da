"""The bar of a piece of work that goes on, in a terminal and in a file."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from carvision.reporting import console as module


@pytest.mark.parametrize(("before", "more"), [(0, 4), (3, 1), (4, 0)])
def test_a_bar_begins_with_what_was_done_before(
    before: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Progress] = []

    def kept() -> Progress:
        bars.append(Progress(console=Console(file=io.StringIO())))
        return bars[-1]

    monkeypatch.setattr(module, "progress_bar", kept)
    with module._bar("tuning", 4, before) as advance:
        task = bars[0].tasks[0]
        assert (task.completed, task.total) == (before, 4)
        # What was done before says nothing of the speed.
        assert task.speed is None
        for _ in range(more):
            advance(1)
    assert bars[0].tasks[0].completed == 4
    assert bars[0].tasks[0].finished


@pytest.mark.parametrize("before", [0, 3])
def test_lines_count_what_was_done_before(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []

    class Lines:
        def advanced(self, description: str, done: int, total: int) -> None:
            told.append((done, total))

        def ended(self, description: str, done: int) -> None:
            told.append((done, done))

    monkeypatch.setattr(module, "ProgressLines", Lines)
    with module._lines("tuning", 5, before) as advance:
        advance(2)
    assert told == [(before, 5), (before + 2, 5), (before + 2, before + 2)]

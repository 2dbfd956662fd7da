"""What is printed where: on a terminal, and in a file."""

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.progress import Progress

from carvision.reporting import console as printing
from carvision.reporting import progress_lines
from carvision.reporting.console import console, print_error, progress, set_up_logging
from carvision.reporting.tables import show_table

_NAMES = ["K5 [hybrid]", "[/b]", "[bold]", ":smile:", "[link=x]y[/link]", "{task}", "\\[x]", "50%"]
_LONG = "/data/" + "a folder of a long name/" * 20 + "photo [1].jpg"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time that lines of progress go by."""
    now = [0.0]
    monkeypatch.setattr(progress_lines, "monotonic", lambda: now[0])
    yield now


@pytest.fixture(autouse=True)
def no_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing tells how wide the output is, whatever other tests left behind."""
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for attribute in ("_width", "_height", "_force_terminal"):
        monkeypatch.setattr(console, attribute, None)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal of 80 columns in place of the console's file."""
    shown = io.StringIO()
    monkeypatch.setattr(console, "_file", shown)
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "is_interactive", True)
    monkeypatch.setattr(console, "_width", 80)
    return shown


@pytest.mark.parametrize("name", [*_NAMES, _LONG])
def test_a_name_is_printed_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.print(f"submission: {name}", soft_wrap=True)
    print_error(f"{name}: no such folder")
    show_table(name, ["", name], [[name, name]])
    title, *_ = lines = capsys.readouterr().out.splitlines()
    assert title == f"submission: {name}"
    assert lines[1] == f"error: {name}: no such folder"
    # The title, the head, and two cells of one row.
    assert sum(line.count(name) for line in lines[2:]) == 4


@pytest.mark.parametrize("name", _NAMES)
def test_a_bar_shows_a_name_as_it_is(name: str, terminal: io.StringIO) -> None:
    with progress(f"predicting with {name}", 2) as advance:
        advance(1)
        advance(1, f"done with {name}")
    assert f"done with {name}" in terminal.getvalue()
    assert "2/2" in terminal.getvalue()


@pytest.mark.parametrize("name", [*_NAMES, _LONG])
def test_a_log_line_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    try:
        set_up_logging()
        logging.getLogger("carvision.pipelines").info("left out: %s: unreadable", name)
        logging.getLogger("other").warning("%s", name)
        logging.getLogger("other").info("not shown")
    finally:
        root.handlers, root.level = before, level
    assert capsys.readouterr().out.splitlines() == [
        f"INFO     left out: {name}: unreadable",
        f"WARNING  {name}",
    ]


def test_work_that_is_done_soon_prints_nothing_into_a_file(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("scanning", 1000) as advance:
        for _ in range(1000):
            clock[0] += 0.01
            advance(1)
    assert capsys.readouterr().out == ""


def test_long_work_prints_lines_into_a_file(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("scanning [x]", 33_137) as advance:
        for _ in range(33_137):
            clock[0] += 1 / 128  # which adds up exactly
            advance(1)
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == "scanning [x]: 1,920 of 33,137, about 4 min left"
    assert last == "scanning [x]: 33,137 in 4 min"
    assert 12 <= len(lines) <= 20
    assert all("left" in line for line in lines)


def test_a_night_of_work_does_not_fill_a_file(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("resizing", 100_000) as advance:
        for _ in range(100_000):
            clock[0] += 0.4
            advance(1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 400
    assert lines[-1] == "resizing: 100,000 in 11.1 h"


def test_work_that_fails_does_not_say_that_it_ended(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyError), progress("scanning", 2) as advance:
        advance(1)
        clock[0] += 100
        raise KeyError
    assert capsys.readouterr().out == ""


def test_a_new_description_is_in_the_lines(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("tuning", 3) as advance:
        for best in (0.5, 0.4):
            clock[0] += 20
            advance(1, f"tuning, best {best}")
    assert capsys.readouterr().out.splitlines() == [
        "tuning, best 0.5: 1 of 3, about 40 s left",
        "tuning, best 0.4: 2 of 3, about 20 s left",
        "tuning, best 0.4: 2 in 40 s",
    ]


def test_no_bar_is_drawn_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert not console.is_interactive
    with progress("scanning", 2) as advance:
        advance(2)
    assert printing.console is console
    assert capsys.readouterr().out == ""


def test_control_characters_of_a_name_are_spelt_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_error("left out: a\x1b[2Jb\r\x07.jpg\nand another\x9b")
    show_table("", ["", ""], [["\x1b[31mNiro", "\x08"]])
    shown = capsys.readouterr().out
    assert "error: left out: a\\x1b[2Jb\\x0d\\x07.jpg\nand another\\x9b" in shown
    assert "\\x1b[31mNiro" in shown and "\\x08" in shown


@pytest.mark.parametrize(("before", "more"), [(0, 4), (3, 1), (4, 0)])
def test_a_bar_begins_with_what_was_done_before(
    before: int, more: int, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Progress] = []

    def kept() -> Progress:
        bars.append(Progress(console=Console(file=io.StringIO())))
        return bars[-1]

    monkeypatch.setattr(printing, "progress_bar", kept)
    with progress("tuning", 4, before) as advance:
        task = bars[0].tasks[0]
        assert (task.completed, task.total) == (before, 4)
        # What was done before is no measure of the speed.
        assert task.speed is None
        for _ in range(more):
            advance(1)
    assert bars[0].tasks[0].completed == 4
    assert bars[0].tasks[0].finished


@pytest.mark.parametrize("before", [0, 3])
def test_lines_count_what_was_done_before(
    before: int, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("tuning", 5, before) as advance:
        clock[0] += 20
        advance(1)
        clock[0] += 20
        advance(1)
    # The time that is left is by what was done since.
    assert capsys.readouterr().out.splitlines() == [
        f"tuning: {before + 1} of 5, about {20 * (4 - before)} s left",
        f"tuning: {before + 2} of 5, about {20 * (3 - before)} s left",
        f"tuning: {before + 2} in 40 s",
    ]

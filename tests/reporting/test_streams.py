"""What becomes of the output decides nothing: its reader, its disk, its encoding."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from carvision.reporting.streams import UnfailingStream

_ROOT = Path(__file__).parents[2]
#: A program that prints as the entry points do, and then leaves its result.
_PROGRAM = """
import logging, sys
from rich.table import Table
from carvision.reporting.console import console, print_error, progress, set_up_logging
from carvision.reporting.streams import guard_streams
guard_streams(); set_up_logging()
logging.getLogger("carvision").info("라브4 [x] – Citroën")
table = Table("", "값", title="title [/b]")
table.add_row("[/b] :smile:", "–")
console.print(table)
with progress("[/bar]", 2) as advance:
    advance(1)
print("print 라브4", flush=True)
sys.stdout.writelines(["line\\n"] * 20_000)
sys.stderr.write("라브4\\n")
if sys.argv[1:] == ["error"]:
    print_error("라브4 [/b]")
open("result", "w").write("done")
"""


class _Raising(io.StringIO):
    """A stream whose every use raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error

    def isatty(self) -> bool:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(32, "Broken pipe"),
        OSError(5, "Input/output error"),
        OSError(28, "No space left on device"),
        OSError(9, "Bad file descriptor"),
        OSError(27, "File too large"),
        BlockingIOError(11, "Resource temporarily unavailable"),
        ValueError("I/O operation on closed file"),
    ],
)
def test_a_failure_is_told_once(error: Exception) -> None:
    told: list[str] = []
    stream = UnfailingStream(_Raising(error), told.append)
    assert not stream.failed
    assert stream.write("text") == 4
    stream.writelines(["a", "b"])
    stream.flush()
    assert not stream.isatty()
    assert stream.failed
    assert told == [getattr(error, "strerror", None) or str(error)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), TypeError("no text")])
def test_what_is_no_failure_to_print_is_raised(error: BaseException) -> None:
    stream = UnfailingStream(_Raising(error))  # type: ignore[arg-type]
    with pytest.raises(type(error)):
        stream.write("text")


@pytest.mark.parametrize(
    ("encoding", "text", "expected"),
    [
        ("utf-8", "라브4 – Citroën", "라브4 – Citroën"),
        ("utf-8", "a\udcffb", "a\\udcffb"),
        ("ascii", "라브4 – ok…", "\\ub77c\\ube0c4 - ok..."),
        ("cp949", "라브4 – Citroën", "라브4 - Citro\\xebn"),
        ("latin-1", "라브4 – Citroën", "\\ub77c\\ube0c4 - Citroën"),
    ],
)
def test_letters_that_an_encoding_lacks(encoding: str, text: str, expected: str) -> None:
    kept = io.BytesIO()
    stream = UnfailingStream(io.TextIOWrapper(kept, encoding, write_through=True))
    stream.write(text)
    assert kept.getvalue().decode(encoding) == expected
    assert not stream.failed


def test_a_terminal_that_goes_away() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        stream = UnfailingStream(terminal)
        assert stream.isatty()
        os.close(ours)
        stream.write("text\n")
        stream.flush()
        assert stream.failed
        # Closing sends what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), theirs)


@pytest.mark.parametrize(
    ("redirection", "shown", "hidden"),
    [
        ("> /dev/full", "No space left on device); the work goes on", "print"),
        ("2> /dev/full", "print 라브4", "the work goes on"),
        (">&-", "라브4", "print"),
        ("2>&-", "print 라브4", "the work goes on"),
        (">&- 2>&- <&-", "", "print"),
        ("| head -n 1", "Broken pipe); the work goes on", "Traceback"),
        ("2>&1 | head -n 1", "INFO     라브4 [x] – Citroën", "Traceback"),
    ],
)
def test_a_program_whose_output_fails(
    redirection: str, shown: str, hidden: str, tmp_path: Path
) -> None:
    output = _run(redirection, tmp_path)
    assert shown in output
    assert hidden not in output
    assert "Exception ignored" not in output


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "+---"),
        ({"PYTHONIOENCODING": "ascii:strict"}, "\\ub77c\\ube0c4"),
        ({"PYTHONIOENCODING": "cp949"}, "Citro\\xebn"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "[x] - "),
    ],
)
def test_a_program_whose_encoding_lacks_letters(
    environment: dict[str, str], shown: str, tmp_path: Path
) -> None:
    output = _run("", tmp_path, **environment)
    assert shown in output
    assert "[/b] :smile:" in output


def test_an_error_is_told_where_it_can_be_read(tmp_path: Path) -> None:
    assert "error: 라브4 [/b]" in _run("error > /dev/full", tmp_path)
    assert "error: 라브4 [/b]" in _run("error >&-", tmp_path)
    assert _run("error", tmp_path).count("error: 라브4 [/b]") == 1


def _run(redirection: str, folder: Path, **environment: str) -> str:
    """Run the program in a shell; its status is 0 and its result is there."""
    (folder / "program.py").write_text(_PROGRAM, encoding="utf-8")
    (folder / "result").unlink(missing_ok=True)
    command = f"set -o pipefail; '{sys.executable}' program.py {redirection}"
    own = {"PYTHONPATH": str(_ROOT), "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=own | environment, capture_output=True, check=False
    )
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, output
    assert (folder / "result").read_text() == "done"
    return output

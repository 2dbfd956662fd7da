"""Standard output and error that no failure to print can stop a command through.

What reads the output may go away (``train | head``, a terminal that is closed), its disk may be
full, and its encoding may lack a letter. The work's result hangs on none of these.
"""

import codecs
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO, cast

#: Signs of our own messages and tables, for an encoding that lacks them.
_PLAIN = {"–": "-", "—": "-", "…": "...", "×": "x", "→": "->", "≥": ">=", "≤": "<=", "·": "-"}
_ERRORS = "carvision.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks: by a plain sign, or by ``\\ub77c``, which is told apart."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    kept = (
        _PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in missing
    )
    return "".join(kept), error.end


codecs.register_error(_ERRORS, _plain)


class UnfailingStream:
    """A text stream whose ``write`` and ``flush`` never raise on what becomes of the text.

    What fails is dropped; ``failed`` tells that something was, and ``on_failure`` is called once
    with the reason. Everything else is the wrapped stream's own.
    """

    def __init__(self, stream: TextIO, on_failure: Callable[[str], None] | None = None) -> None:
        self._stream = stream
        self._on_failure = on_failure
        self.failed = False

    def write(self, text: str) -> int:
        """Write ``text``, or what can be written of it."""
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, _ERRORS).decode(encoding))
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._note(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of ``lines``."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Send what was written."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._note(error)

    def isatty(self) -> bool:
        """Whether it is a terminal that is still there."""
        try:
            return self._stream.isatty()
        except (OSError, ValueError):
            return False

    def _note(self, error: Exception) -> None:
        if self.failed:
            return
        self.failed = True
        if self._on_failure is not None:
            self._on_failure(getattr(error, "strerror", None) or str(error))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_streams() -> None:
    """Put unfailing streams in place of ``sys.stdout`` and ``sys.stderr``."""
    for number in (0, 1, 2):
        _occupy(number)
    if not isinstance(sys.stderr, UnfailingStream):
        sys.stderr = cast(TextIO, _guarded(sys.stderr))
    if not isinstance(sys.stdout, UnfailingStream):
        sys.stdout = cast(TextIO, _guarded(sys.stdout, _tell))


def _guarded(
    stream: TextIO | None, on_failure: Callable[[str], None] | None = None
) -> UnfailingStream:
    """``stream``; it is None where it was closed before the start (``>&-``)."""
    if stream is None:
        stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, open to the end
        guarded = UnfailingStream(stream)
        guarded.failed = True
        return guarded
    return UnfailingStream(stream, on_failure)


def output_failed() -> bool:
    """Whether something that was printed did not arrive."""
    return isinstance(sys.stdout, UnfailingStream) and sys.stdout.failed


def _tell(reason: str) -> None:
    sys.stderr.write(f"the output cannot be written ({reason}); the work goes on without it\n")
    sys.stderr.flush()


def _occupy(number: int) -> None:
    """Keep a standard file number from the next file that is opened.

    C libraries and child processes print to 1 and 2, whichever file has that number.
    """
    try:
        os.fstat(number)
    except OSError:
        taken = os.open(os.devnull, os.O_RDWR)
        if taken != number:
            os.dup2(taken, number)
            os.close(taken)
        os.set_inheritable(number, True)

"""Standard output and error whose failures do not stop a command.

The program that reads the output may end (``train | head``, a terminal that is closed), the disk
may be full, and the encoding may lack a letter. The result of the work depends on none of these.
"""

import codecs
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO, cast

#: Replacements of the signs in carvision's own messages, for an encoding that lacks them.
_PLAIN = {"–": "-", "—": "-", "…": "...", "×": "x", "→": "->", "≥": ">=", "≤": "<=", "·": "-"}
_ERRORS = "carvision.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what an encoding lacks: by a plain sign, or else by an escape such as ``\\ub77c``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    kept = (
        _PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in missing
    )
    return "".join(kept), error.end


codecs.register_error(_ERRORS, _plain)


class UnfailingStream:
    """A text stream whose ``write`` and ``flush`` never raise when the text cannot be written.

    Such text is dropped; ``failed`` is then true, and ``on_failure`` was called once with the
    reason. Everything else is the wrapped stream's own.
    """

    def __init__(self, stream: TextIO, on_failure: Callable[[str], None] | None = None) -> None:
        self._stream = stream
        self._on_failure = on_failure
        self.failed = False

    def write(self, text: str) -> int:
        """Write ``text``, as far as it can be written."""
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
        """Flush the stream."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._note(error)

    def isatty(self) -> bool:
        """Whether the stream is a terminal that is still open."""
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
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that never raise."""
    for number in (0, 1, 2):
        _occupy(number)
    if not isinstance(sys.stderr, UnfailingStream):
        sys.stderr = cast(TextIO, _guarded(sys.stderr))
    if not isinstance(sys.stdout, UnfailingStream):
        sys.stdout = cast(TextIO, _guarded(sys.stdout, _warn))


def _guarded(
    stream: TextIO | None, on_failure: Callable[[str], None] | None = None
) -> UnfailingStream:
    """Wrap ``stream``, which is None where it was closed before the start (``>&-``)."""
    if stream is None:
        stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115, open to the end
        guarded = UnfailingStream(stream)
        guarded.failed = True
        return guarded
    return UnfailingStream(stream, on_failure)


def output_failed() -> bool:
    """Whether something that was printed was lost."""
    return isinstance(sys.stdout, UnfailingStream) and sys.stdout.failed


def _warn(reason: str) -> None:
    sys.stderr.write(f"the output cannot be written ({reason}); the work goes on without it\n")
    sys.stderr.flush()


def _occupy(number: int) -> None:
    """Open the null device as file ``number`` if it is closed.

    Otherwise the next file that is opened gets this number, and C libraries and child processes
    print into it.
    """
    try:
        os.fstat(number)
    except OSError:
        taken = os.open(os.devnull, os.O_RDWR)
        if taken != number:
            os.dup2(taken, number)
            os.close(taken)
        os.set_inheritable(number, True)

"""The one console: what is printed is text, never markup, and a file's lines are not wrapped."""

from rich.console import Console, ConsoleDimensions
from rich.text import Text

#: No table is wider; a file has no edge.
_NO_EDGE = 10_000
#: What a file's name may hold, and a terminal would obey.
_CONTROL = {
    number: f"\\x{number:02x}"
    for number in (*range(32), *range(127, 160))
    if chr(number) not in "\n\t"
}


def plain(text: str) -> Text:
    """``text`` as it is, with control characters spelt out."""
    return Text(text.translate(_CONTROL))


class _PlainConsole(Console):
    """A console as wide as its terminal; a file is as wide as its widest line."""

    def __init__(self) -> None:
        # Paths and class names may hold [ ] or :smile:, which rich would make something of.
        super().__init__(markup=False, emoji=False, highlight=False)

    @property
    def size(self) -> ConsoleDimensions:
        """The terminal's columns and rows."""
        found = super().size
        given = self._width is not None or "COLUMNS" in self._environ
        return found if given or self.is_terminal else ConsoleDimensions(_NO_EDGE, found.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


console = _PlainConsole()

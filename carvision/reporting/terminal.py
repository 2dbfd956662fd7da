"""The console that everything is printed on: no markup, and no line of a file is wrapped."""

from rich.console import Console, ConsoleDimensions
from rich.text import Text

#: Columns of a file: no table is wider.
_NO_EDGE = 10_000
#: Control characters, which file names may hold and terminals obey.
_CONTROL = {
    number: f"\\x{number:02x}"
    for number in (*range(32), *range(127, 160))
    if chr(number) not in "\n\t"
}


def plain(text: str) -> Text:
    """Return ``text`` without markup, with control characters spelt out."""
    return Text(text.translate(_CONTROL))


class _PlainConsole(Console):
    """A console that is as wide as its terminal, or in a file as wide as its widest line."""

    def __init__(self) -> None:
        # Paths and class names may hold [ ] or :smile:, which rich would interpret.
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

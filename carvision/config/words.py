"""A user's own text inside a message, shortened."""

from collections.abc import Sequence

#: Characters of it that are shown.
_LONGEST = 100


def shortened(text: str, longest: int = _LONGEST) -> str:
    """``text``, or the beginning of a long one and its length."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 20]}… ({len(text):,} characters)"


def quoted(text: str) -> str:
    """``text`` in quotes, shortened."""
    return shortened(repr(text))


def first_few(items: Sequence[str], most: int = 5) -> str:
    """Join the first ``items`` by commas, and say how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more

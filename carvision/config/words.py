"""A user's own text inside a message, shortened."""

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

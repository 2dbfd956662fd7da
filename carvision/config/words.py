"""A user's own text in a message: short, whatever came."""

#: Signs of it that are shown.
_LONGEST = 100


def shortened(text: str, longest: int = _LONGEST) -> str:
    """The beginning of ``text``, and how long it is, where it is long."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 20]}… ({len(text):,} characters)"


def quoted(text: str) -> str:
    """``text`` in quotes, shortened."""
    return shortened(repr(text))

"""Parsers for the parameters of the entry points, one for each type.

A value is typed in a shell or copied from a web page: whitespace and quotes around it are removed,
``~`` is the home folder, and a number may be written as MLflow's ``float`` writes it (``200.0``).
"""

import math
import os
from collections.abc import Callable
from pathlib import Path

from carvision.config.words import quoted
from carvision.errors import ConfigError

_QUOTES = ("''", '""', "“”", "‘’", "``")
#: Names of data that has no path.
_DATA_WORDS = ("latest", "sample")


def stripped(text: str) -> str:
    """``text`` without whitespace and quotes around it."""
    text = text.strip()
    if len(text) >= 2 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip()
    return text


def path_text(text: str) -> str:
    """A path as the system takes it; empty where none is given.

    Quotes and whitespace around it are removed, unless a file has exactly this name.
    """
    path = _at_home(text)
    return path if os.path.lexists(path) else _at_home(stripped(text))


def data_source(text: str) -> str:
    """Parse ``data=``: ``latest``, ``sample``, or a path.

    Raises:
        ConfigError: it is empty.
    """
    word = stripped(str(text))
    if not word:
        raise ConfigError("data= is empty: give a folder of photos, a zip, sample, or latest")
    return word if word in _DATA_WORDS else path_text(str(text))


def output_path(text: str | Path) -> Path:
    """Parse ``output=``, the name of a file.

    Raises:
        ConfigError: it is empty.
    """
    path = path_text(str(text))
    if not path:
        raise ConfigError("output= is empty: give the name of a file")
    return Path(path)


def fold_numbers(text: str) -> str:
    """Parse ``fold=``: ``all``, or numbers like ``1,3``; only the data knows which folds exist.

    Raises:
        ConfigError: it is neither.
    """
    words = stripped(str(text)).strip("[]")
    if words == "all":
        return words
    numbers = [_number(part) for part in words.split(",")]
    if any(value is None or not value.is_integer() or value < 1 for value in numbers):
        raise ConfigError(f"fold={quoted(text)}: expected all, or numbers from 1, like 1,3")
    return ",".join(f"{value:.0f}" for value in numbers)


def choice(name: str, *words: str) -> Callable[[str], str]:
    """Make the parser of a parameter ``name`` that is one of ``words``."""

    def read(given: str) -> str:
        word = stripped(str(given))
        if word not in words:
            raise ConfigError(f"{name}={quoted(word)}: expected one of {', '.join(words)}")
        return word

    return read


def whole_number(name: str, least: int, most: int | None = None) -> Callable[[str | float], int]:
    """Make the parser of a parameter ``name`` that is a whole number."""
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(given: str | float) -> int:
        value = _number(given)
        if value is None or not value.is_integer() or not least <= value <= (most or math.inf):
            raise ConfigError(f"-P {name}={_shown(given)}: expected a whole number {bounds}")
        return int(value)

    return read


def number(name: str, least: float) -> Callable[[str | float], float]:
    """Make the parser of a parameter ``name`` that is a number, with or without a fraction."""

    def read(given: str | float) -> float:
        value = _number(given)
        if value is None or value < least:
            raise ConfigError(
                f"-P {name}={_shown(given)}: expected a number of at least {least:g}, with a point "
                "before the fraction"
            )
        return value

    return read


def _at_home(path: str) -> str:
    # Path.expanduser raises for an unknown user, and turns an empty path into ".".
    return os.path.expanduser(path)  # noqa: PTH111


def _number(given: str | float) -> float | None:
    try:
        value = float(stripped(str(given)))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _shown(given: str | float) -> str:
    text = str(given)
    return text if text.isprintable() and 0 < len(text) <= 50 else quoted(text)

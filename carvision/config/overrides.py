"""Parse the text of ``set=``: ``"train.epochs=3 data.same_classes=[[a b, c]]"``.

Settings are separated by whitespace; a value that contains whitespace needs quotes or brackets. A
backslash before a letter or a digit belongs to a Windows path; before any other character it is an
escape.
"""

import re
from collections.abc import Mapping
from typing import Any

from carvision.config.layers import merged, nested
from carvision.config.messages import setting_names
from carvision.config.parameters import stripped
from carvision.config.schema import Config
from carvision.config.words import quoted, shortened
from carvision.config.yaml_values import is_null, is_text, kind_of, may_be_null, yaml_value
from carvision.errors import ConfigError

_KEY = re.compile(r"[A-Za-z_][\w.\-]*")
#: A comma or a semicolon before another setting, or at the end.
_JOINED = re.compile(r"[,;]\s*(?:([A-Za-z_][\w.]*)\s*=|\Z)")
_OPEN, _CLOSED = "[{", "]}"
_WHITESPACE = " \t\r\n"


def command_line_settings(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``set=text`` by section, overridden by the parameters ``values``.

    A parameter that is empty or None was not given.

    Raises:
        ConfigError: a part of ``text`` cannot be read.
    """
    words = {key: stripped(str(value)) for key, value in values.items() if value is not None}
    return overrides(text) | {key: word for key, word in words.items() if word}


def overrides(text: str) -> dict[str, Any]:
    """The settings of ``set=text`` by section.

    Raises:
        ConfigError: a part of ``text`` cannot be read.
    """
    result: dict[str, Any] = {}
    for item in _words(text):
        key, equals, value = item.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise ConfigError(
                f"set={quoted(text)}: expected key=value without spaces around the =, and straight "
                f"quotes, got {quoted(item)}"
            )
        _refuse_joined(text, key, value)
        result = merged(result, nested(key, _value(text, key, value)))
    return result


def _value(text: str, key: str, value: str) -> Any:
    kind, value = kind_of(Config, key), value.strip()
    if is_text(kind):
        return None if is_null(value) and may_be_null(kind) else value
    try:
        return yaml_value(value, kind)
    except ConfigError as error:
        raise ConfigError(
            f"set={quoted(text)}: the value of {shortened(key)} cannot be read: {error}"
        ) from None


def _refuse_joined(text: str, key: str, value: str) -> None:
    """Refuse ``a=1,b=2``; the same characters in brackets, or in a path, are part of the value."""
    rest = value[max(map(value.rfind, _CLOSED)) + 1 :]
    found = _JOINED.search(rest)
    names = {part for name in setting_names() for part in (name, name.rpartition(".")[2])}
    if found is None or (is_text(kind_of(Config, key)) and found[1] not in names):
        return
    apart = " ".join(re.split(r"[,;]\s*(?=[A-Za-z_][\w.]*\s*=|\Z)", text)).strip()
    raise ConfigError(
        f"set={quoted(text)}: settings are separated by spaces, not by {found[0][0]!r}: "
        f'set="{shortened(apart)}"'
    )


def _words(text: str) -> list[str]:
    """Split ``text`` at whitespace outside of quotes and outside of a value's brackets.

    Quotes around a word or a part of it are removed; those inside brackets are kept for YAML.

    Raises:
        ConfigError: a quotation mark is not closed.
    """
    words: list[str] = []
    word, quote, depth, begun = "", "", 0, False
    characters = iter(text)
    for character in characters:
        escaped = next(characters, "") if character == "\\" and quote != "'" else ""
        if escaped:
            word += _unescaped(escaped, quote, depth)
        elif quote:
            word += character if character != quote or depth else ""
            quote = "" if character == quote else quote
        elif character in "\"'" and (not depth or word.rstrip()[-1:] in ("[", "{", ",", ":")):
            quote, begun = character, True
            word += character if depth else ""
        elif character in _WHITESPACE and not depth:
            words += [word] if word or begun else []
            word, begun = "", False
        else:
            if character in _OPEN and (depth or word.endswith("=")):
                depth += 1
            elif character in _CLOSED and depth:
                depth -= 1
            word += character
    if quote:
        raise ConfigError(f"set={quoted(text)}: No closing quotation mark")
    return words + ([word] if word or begun else [])


def _unescaped(character: str, quote: str, depth: int) -> str:
    if depth or character.isalnum() or (quote and character not in '"\\'):
        return "\\" + character
    return character

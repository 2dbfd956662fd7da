"""The text of ``set=``: ``"train.epochs=3 data.same_classes=[[a b, c]]"``.

Settings are divided by blanks, and a value with blanks stands in quotes or brackets. A backslash
before a letter is a Windows path's own; elsewhere it takes the next sign as it is.
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
#: Another setting behind a comma or a semicolon.
_JOINED = re.compile(r"[,;]\s*(?:([A-Za-z_][\w.]*)\s*=|\Z)")
_OPEN, _CLOSED = "[{", "]}"
_BLANKS = " \t\r\n"


def command_line_settings(text: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``set=text`` by section, and above them the parameters ``values``.

    A parameter that is empty or None was not given.

    Raises:
        ConfigError: with the part of ``text`` that cannot be read.
    """
    words = {key: stripped(str(value)) for key, value in values.items() if value is not None}
    return overrides(text) | {key: word for key, word in words.items() if word}


def overrides(text: str) -> dict[str, Any]:
    """The settings of ``set=text`` by section.

    Raises:
        ConfigError: with the part that cannot be read.
    """
    result: dict[str, Any] = {}
    for item in _words(text):
        key, equals, value = item.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise ConfigError(
                f"set={quoted(text)}: expected key=value without blanks around the =, and straight "
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
    """Refuse ``a=1,b=2``; what stands in brackets, or is in a path's name, is no setting."""
    rest = value[max(map(value.rfind, _CLOSED)) + 1 :]
    found = _JOINED.search(rest)
    names = {part for name in setting_names() for part in (name, name.rpartition(".")[2])}
    if found is None or (is_text(kind_of(Config, key)) and found[1] not in names):
        return
    apart = " ".join(re.split(r"[,;]\s*(?=[A-Za-z_][\w.]*\s*=|\Z)", text)).strip()
    raise ConfigError(
        f"set={quoted(text)}: settings are divided by blanks, not by {found[0][0]!r}: "
        f'set="{shortened(apart)}"'
    )


def _words(text: str) -> list[str]:
    """``text`` divided at blanks that stand neither in quotes nor in a value's brackets.

    Quotes around a word or a part of it go; those in brackets are YAML's.

    Raises:
        ConfigError: a quotation mark has no partner.
    """
    words: list[str] = []
    word, quote, depth, begun = "", "", 0, False
    signs = iter(text)
    for sign in signs:
        escaped = next(signs, "") if sign == "\\" and quote != "'" else ""
        if escaped:
            word += _unescaped(escaped, quote, depth)
        elif quote:
            word += sign if sign != quote or depth else ""
            quote = "" if sign == quote else quote
        elif sign in "\"'" and (not depth or word.rstrip()[-1:] in ("[", "{", ",", ":")):
            quote, begun = sign, True
            word += sign if depth else ""
        elif sign in _BLANKS and not depth:
            words += [word] if word or begun else []
            word, begun = "", False
        else:
            if sign in _OPEN and (depth or word.endswith("=")):
                depth += 1
            elif sign in _CLOSED and depth:
                depth -= 1
            word += sign
    if quote:
        raise ConfigError(f"set={quoted(text)}: No closing quotation mark")
    return words + ([word] if word or begun else [])


def _unescaped(sign: str, quote: str, depth: int) -> str:
    if depth or sign.isalnum() or (quote and sign not in '"\\'):
        return "\\" + sign
    return sign

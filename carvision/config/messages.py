"""Errors of a configuration in short sentences, with the nearest known name."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from carvision.config.schema import Config, in_file_order
from carvision.config.words import shortened
from carvision.errors import ConfigError

#: Mistakes, or names, of one message.
_MOST = 10

Settings = TypeVar("Settings", bound=BaseModel)


def validated(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """``values`` as settings of ``kind``.

    Raises:
        ConfigError: naming each mistake by its key, with what was expected and what came.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explained(error)) from None


def unknown_keys(names: Iterable[str]) -> str:
    """The error about those of ``names`` that are no settings; empty where all are."""
    known = setting_names()
    lines = [_unknown(name) for name in names if name not in known]
    return _unusable(lines[:_MOST], len(lines)) if lines else ""


def listed(names: Sequence[str]) -> str:
    """``names`` in one line; of many, the first ones and how many more there are."""
    shown = ", ".join(shortened(name) for name in names[:_MOST])
    return shown if len(names) <= _MOST else f"{shown} and {len(names) - _MOST:,} more"


def _explained(error: ValidationError) -> str:
    mistakes = error.errors()
    lines = []
    for item in mistakes[:_MOST]:
        key = shortened(".".join(str(part) for part in item["loc"]))
        if item["type"] == "extra_forbidden":
            lines.append(_unknown(key))
        elif item["type"] == "value_error":
            lines.append(f"{key}: {item['ctx']['error']}" if key else str(item["ctx"]["error"]))
        else:
            lines.append(f"{key}: {item['msg']}; got {shortened(repr(item['input']))}")
    return _unusable(lines, len(mistakes))


def _unknown(key: str) -> str:
    key = shortened(key)
    return f"unknown key {key!r}{nearest(key, setting_names())}"


def _unusable(lines: list[str], mistakes: int) -> str:
    more = [f"and {mistakes - _MOST:,} more"] if mistakes > _MOST else []
    return "\n  ".join(["the configuration cannot be used:", *lines, *more])


def setting_names(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """The full name of every section and setting."""
    names = []
    for name in in_file_order(section.model_fields):
        names.append(prefix + name)
        kind = section.model_fields[name].annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += setting_names(kind, f"{prefix}{name}.")
    return names


def nearest(name: str, known: Sequence[str]) -> str:
    """A question that names what ``name`` may mean among ``known``; empty where nothing is near."""
    found = nearest_name(name, known)
    return f" (did you mean {found!r}?)" if found else ""


def nearest_name(name: str, known: Sequence[str]) -> str | None:
    """The one of ``known`` that ``name`` may mean; None where nothing is near."""
    # First a key of the right name in the wrong section, then a misspelt key, then both at once.
    by_leaf = {key.rpartition(".")[2]: key for key in reversed(known)}
    own_leaf = name.rpartition(".")[2]
    whole = get_close_matches(name, known, n=1, cutoff=0.5)
    leaf = get_close_matches(own_leaf, list(by_leaf), n=1, cutoff=0.6)
    return by_leaf.get(own_leaf) or (whole[0] if whole else by_leaf[leaf[0]] if leaf else None)

"""Settings by section, and layers of them one above the other."""

from collections.abc import Iterator, Mapping
from typing import Any


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``below`` overridden by ``above``, section by section."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its full name: ``{"a": {"b": 1}}`` is ``("a.b", 1)``."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nested(name: str, value: Any) -> dict[str, Any]:
    """The setting of a full name inside its sections: ``"a.b"`` gives ``{"a": {"b": value}}``."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)

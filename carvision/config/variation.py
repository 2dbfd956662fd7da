"""A configuration with other values, and the file that says how one departs from its preset."""

from collections.abc import Mapping
from typing import Any

from carvision.config.load import load_config
from carvision.config.schema import Config

#: What belongs to the machine at hand rather than to the result.
_OF_THE_MACHINE = ("device", "loader", "tracking")


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """``config`` with other values, by their full names: ``{"optimizer.lr": 1e-3}``."""
    values = config.model_dump()
    for key, value in settings.items():
        *sections, name = key.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[name] = value
    return Config.model_validate(values)


def as_settings_file(config: Config) -> dict[str, Any]:
    """What a ``config=`` file holds, for :func:`load_config` to give ``config`` on any machine.

    The recipe is named, also where it is the default: the rest is a difference from it.
    """
    preset = load_config(config.name, recipe=config.recipe).model_dump(mode="json")
    values = config.model_dump(mode="json")
    for key in _OF_THE_MACHINE:
        del values[key]
    return {"recipe": config.recipe} | _difference(values, preset)


def _difference(values: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in values.items():
        if isinstance(value, dict):
            if inner := _difference(value, below[key]):
                found[key] = inner
        elif value != below[key]:
            found[key] = value
    return found

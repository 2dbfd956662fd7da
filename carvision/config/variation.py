"""A configuration with other values, and as a file of differences from its preset."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from carvision.config.layers import merged, nested
from carvision.config.load import load_config
from carvision.config.schema import Config

#: Settings of the machine, which do not change the result.
_OF_THE_MACHINE = ("device", "loader", "tracking")


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """``config`` with other values, by their full names: ``{"optimizer.lr": 1e-3}``."""
    layers = (nested(name, value) for name, value in settings.items())
    return Config.model_validate(reduce(merged, layers, config.model_dump()))


def as_settings_file(config: Config) -> dict[str, Any]:
    """The content of a ``config=`` file from which :func:`load_config` makes ``config`` again.

    Settings of the machine are left out. The recipe is always named, since the other settings are
    differences from it.
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

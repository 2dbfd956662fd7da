"""The configuration of a backbone: base < recipe < backbone < ``config=`` file < ``set=``.

A backbone's YAML may hold values of its own for single recipes, under ``recipes:``.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from carvision.config.layers import merged
from carvision.config.messages import validated
from carvision.config.overrides import command_line_settings
from carvision.config.parameters import stripped
from carvision.config.presets import (
    DEFAULT_MODEL,
    backbone_settings,
    base_settings,
    recipe_settings,
    split_models,
    with_named_classes,
)
from carvision.config.schema import Config
from carvision.config.user_file import user_settings


def load_config(
    model: str = DEFAULT_MODEL,
    *,
    recipe: str = "",
    config: str = "",
    overrides: str = "",
    **values: Any,
) -> Config:
    """Resolve one backbone's configuration.

    ``config`` names a YAML file, ``overrides`` is the text of ``set=`` (``"a.b=1 c.d=x"``), and
    ``values`` are top-level keys of the command line (``seed``, ``device``), empty where not given.

    Raises:
        ConfigError: an unknown backbone, recipe or key, or a value that does not fit.
    """
    base, backbone = base_settings(), backbone_settings(model)
    own_recipes = backbone.pop("recipes", {})
    user, given = user_settings(config), command_line_settings(overrides, values)
    chosen = str(stripped(recipe) or given.get("recipe") or user.get("recipe") or base["recipe"])
    layers = [
        base,
        recipe_settings(chosen),
        backbone,
        own_recipes.get(chosen, {}),
        user,
        given,
        {"name": model, "recipe": chosen},
    ]
    return validated(Config, with_named_classes(reduce(merged, layers)))


def load_configs(models: str, **settings: Any) -> list[Config]:
    """:func:`load_config` for each of ``models``: ``"a,b"`` or ``"all"``."""
    return [load_config(name, **settings) for name in split_models(models)]


def restored_config(stored: Mapping[str, Any]) -> Config:
    """A configuration that an earlier version stored, completed with today's values.

    Keys that are new take today's value, and keys that no longer exist are ignored: a registered
    model stays loadable.
    """
    today = load_config(stored["name"], recipe=stored["recipe"]).model_dump(mode="json")
    return Config.model_validate(_overlaid(today, stored))


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _overlaid(value, above[key])
        if isinstance(value, dict) and isinstance(above.get(key), Mapping)
        else above.get(key, value)
        for key, value in below.items()
    }

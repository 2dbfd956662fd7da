"""The YAML files beside this module: the base, and one for each backbone, recipe and class list."""

from importlib.resources import files
from typing import Any, Final

import yaml

from carvision.config.messages import nearest
from carvision.config.parameters import stripped
from carvision.config.words import quoted
from carvision.errors import ConfigError

DEFAULT_MODEL: Final = "efficientnet_lite0"
_FOLDER = files("carvision.config")


def list_models() -> list[str]:
    """Names of the backbone presets."""
    return _names("models")


def list_recipes() -> list[str]:
    """Names of the recipes."""
    return _names("recipes")


def split_models(models: str) -> list[str]:
    """Parse ``"a,b"`` or ``"all"`` into presets, each once, in the order given.

    Raises:
        ConfigError: there is no such backbone, or none is named.
    """
    if stripped(models) == "all":
        return list_models()
    names = list(
        dict.fromkeys(name.strip() for name in stripped(models).split(",") if name.strip())
    )
    if not names:
        raise ConfigError(
            f"model={quoted(models)} names no backbone; known: {', '.join(list_models())}"
        )
    return [known(name, list_models(), "backbone") for name in names]


def base_settings() -> dict[str, Any]:
    """What every run starts from."""
    return _read("base.yaml")


def recipe_settings(name: str) -> dict[str, Any]:
    """The settings of a recipe.

    Raises:
        ConfigError: there is no such recipe.
    """
    return _read(f"recipes/{known(name, list_recipes(), 'recipe')}.yaml")


def backbone_settings(name: str) -> dict[str, Any]:
    """The settings of a backbone, those for single recipes under ``recipes``.

    Raises:
        ConfigError: there is no such backbone.
    """
    return _read(f"models/{known(name, list_models(), 'backbone')}.yaml")


def with_named_classes(settings: dict[str, Any]) -> dict[str, Any]:
    """``settings`` with the classes of the preset that ``data.same_classes`` names, if it does.

    Raises:
        ConfigError: there is no such preset.
    """
    data = settings["data"]
    if not isinstance(data, dict) or not isinstance(data.get("same_classes"), str):
        return settings
    preset = known(data["same_classes"], _names("same_classes"), "set of classes")
    return settings | {"data": data | {"same_classes": _read(f"same_classes/{preset}.yaml")}}


def known(name: str, names: list[str], kind: str) -> str:
    """``name``, if it is one of ``names``.

    Raises:
        ConfigError: it is not; the message has the nearest of them.
    """
    if name not in names:
        near = nearest(name[:100], names)
        raise ConfigError(f"unknown {kind} {quoted(name)}{near}; known: {names}")
    return name


def _names(folder: str) -> list[str]:
    entries = (entry.name for entry in (_FOLDER / folder).iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def _read(name: str) -> Any:
    return yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8"))

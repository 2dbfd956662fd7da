"""Layers of YAML to one :class:`Config`: base < recipe < backbone < ``config=`` file < ``set=``.

A backbone's YAML may hold values of its own for single recipes, under ``recipes:``.
"""

from collections.abc import Mapping
from functools import reduce
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from carvision.config.layers import merged
from carvision.config.messages import explained, nearest
from carvision.config.overrides import overrides as settings_of
from carvision.config.parameters import path_text, stripped
from carvision.config.schema import Config
from carvision.config.words import quoted, shortened
from carvision.config.yaml_values import yaml_value
from carvision.errors import ConfigError

_FOLDER = files("carvision.config")
DEFAULT_MODEL = "efficientnet_lite0"
_LARGEST_FILE = 2**20


def list_models() -> list[str]:
    """Names of the backbone presets."""
    return _names("models")


def list_recipes() -> list[str]:
    """Names of the recipes."""
    return _names("recipes")


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
        ConfigError: an unknown backbone, recipe or key, a value that does not fit.
    """
    base = _packaged("base.yaml")
    backbone = _packaged(f"models/{_known(model, list_models(), 'backbone')}.yaml")
    own_recipes = backbone.pop("recipes", {})
    user = _user_file(Path(path_text(config))) if config else {}
    given = settings_of(overrides)
    words = {key: stripped(str(value)) for key, value in values.items() if value is not None}
    given.update({key: word for key, word in words.items() if word})
    chosen = str(stripped(recipe) or given.get("recipe") or user.get("recipe") or base["recipe"])
    _known(chosen, list_recipes(), "recipe")
    layers = [
        base,
        _packaged(f"recipes/{chosen}.yaml"),
        backbone,
        own_recipes.get(chosen, {}),
        user,
        given,
        {"name": model, "recipe": chosen},
    ]
    settings = reduce(merged, layers)
    data = settings["data"]
    if isinstance(data, dict) and isinstance(data.get("same_classes"), str):
        preset = _known(data["same_classes"], _names("same_classes"), "set of classes")
        groups = _packaged(f"same_classes/{preset}.yaml")
        settings = merged(settings, {"data": {"same_classes": groups}})
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(explained(error)) from None


def load_configs(models: str, **settings: Any) -> list[Config]:
    """:func:`load_config` for each of ``models``: ``"a,b"`` or ``"all"``."""
    return [load_config(name, **settings) for name in split_models(models)]


def restored_config(stored: Mapping[str, Any]) -> Config:
    """A configuration that an earlier version stored, completed with today's values.

    Keys that came since take their present value, keys that went are ignored: a registered model
    stays loadable.
    """
    today = load_config(stored["name"], recipe=stored["recipe"]).model_dump(mode="json")
    return Config.model_validate(_overlaid(today, stored))


def split_models(models: str) -> list[str]:
    """``"a,b"`` or ``"all"`` as a list of known presets, each once, in the order given."""
    if stripped(models) == "all":
        return list_models()
    names = list(
        dict.fromkeys(name.strip() for name in stripped(models).split(",") if name.strip())
    )
    if not names:
        raise ConfigError(
            f"model={quoted(models)} names no backbone; known: {', '.join(list_models())}"
        )
    return [_known(name, list_models(), "backbone") for name in names]


def _names(folder: str) -> list[str]:
    entries = (entry.name for entry in (_FOLDER / folder).iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def _known(name: str, known: list[str], kind: str) -> str:
    if name not in known:
        near = nearest(name[:100], known)
        raise ConfigError(f"unknown {kind} {quoted(name)}{near}; known: {known}")
    return name


def _packaged(name: str) -> Any:
    return yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8"))


def _user_file(path: Path) -> dict[str, Any]:
    named = f"config={shortened(str(path), 300)}"
    try:
        if not path.is_file():
            what = "is no file" if path.exists() else "there is no such file"
            raise ConfigError(f"{named}: {what}")
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{named}: cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{named}: it has more than 1 MiB, which no file of settings needs")
    try:
        settings = yaml_value(content.decode("utf-8"), Config)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{named}: save it as UTF-8: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{named}: not valid YAML for settings: {error}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{named}: expected a mapping of keys to values")
    return settings


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _overlaid(value, above[key])
        if isinstance(value, dict) and isinstance(above.get(key), Mapping)
        else above.get(key, value)
        for key, value in below.items()
    }

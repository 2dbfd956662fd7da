"""Layers of YAML to one :class:`Config`: base < recipe < backbone < ``config=`` file < ``set=``.

A backbone's YAML may hold values of its own for single recipes, under ``recipes:``.
"""

import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from functools import reduce
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from carvision.config.schema import Config
from carvision.errors import ConfigError

_FOLDER = files("carvision.config")
DEFAULT_MODEL = "efficientnet_lite0"


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
    user = _user_file(Path(config)) if config else {}
    given = _overrides(overrides)
    given.update({key: value for key, value in values.items() if value not in (None, "")})
    chosen = str(recipe or given.get("recipe") or user.get("recipe") or base["recipe"])
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
    merged = reduce(_merged, layers)
    if isinstance(merged["data"], dict) and isinstance(merged["data"].get("same_classes"), str):
        preset = _known(merged["data"]["same_classes"], _names("same_classes"), "set of classes")
        merged = _merged(
            merged, {"data": {"same_classes": _packaged(f"same_classes/{preset}.yaml")}}
        )
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explained(error)) from None


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
    if models.strip() == "all":
        return list_models()
    names = list(dict.fromkeys(name.strip() for name in models.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"model={models!r} names no backbone; known: {', '.join(list_models())}")
    return [_known(name, list_models(), "backbone") for name in names]


def _names(folder: str) -> list[str]:
    entries = (entry.name for entry in (_FOLDER / folder).iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def _known(name: str, known: list[str], kind: str) -> str:
    if name not in known:
        raise ConfigError(f"unknown {kind} {name!r}{_nearest(name, known)}; known: {known}")
    return name


def _packaged(name: str) -> Any:
    return yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8"))


def _user_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"config={path}: there is no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"config={path}: not valid YAML in UTF-8: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"config={path}: expected a mapping of keys to values")
    return content


def _overrides(text: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    try:
        items = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"set={text!r}: {error}") from None
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ConfigError(f"set={text!r}: expected key=value, got {item!r}")
        try:
            nested: Any = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"set={text!r}: the value of {key} cannot be read") from None
        for part in reversed(key.split(".")):
            nested = {part: nested}
        result = _merged(result, nested)
    return result


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _overlaid(value, above[key])
        if isinstance(value, dict) and isinstance(above.get(key), Mapping)
        else above.get(key, value)
        for key, value in below.items()
    }


def _explained(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key {key!r}{_nearest(key, _keys(Config))}")
        elif item["type"] == "value_error":
            lines.append(f"{key}: {item['ctx']['error']}" if key else str(item["ctx"]["error"]))
        else:
            lines.append(f"{key}: {item['msg']}; got {item['input']!r}")
    return "the configuration cannot be used:\n  " + "\n  ".join(lines)


def _keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += _keys(kind, f"{prefix}{name}.")
    return keys


def _nearest(name: str, known: list[str]) -> str:
    # A key of the right name in the wrong section, then a key misspelt, then both at once.
    by_leaf = {key.rpartition(".")[2]: key for key in reversed(known)}
    own_leaf = name.rpartition(".")[2]
    whole = get_close_matches(name, known, n=1, cutoff=0.5)
    leaf = get_close_matches(own_leaf, list(by_leaf), n=1, cutoff=0.6)
    nearest = by_leaf.get(own_leaf) or (whole[0] if whole else by_leaf[leaf[0]] if leaf else None)
    return f" (did you mean {nearest!r}?)" if nearest else ""

"""The settings of the steps that train nothing: base < ``config=`` file < ``set=``."""

import logging
from collections.abc import Iterable
from functools import reduce
from typing import Any, Final

from carvision.config.layers import flat, merged, nested
from carvision.config.messages import listed, setting_names, unknown_keys, validated
from carvision.config.overrides import command_line_settings
from carvision.config.presets import base_settings, with_named_classes
from carvision.config.run_settings import RunSettings
from carvision.config.user_file import user_settings
from carvision.config.words import quoted
from carvision.errors import ConfigError

log = logging.getLogger(__name__)

_SPLIT: Final = ("data.folds", "data.split_seed", "data.same_classes")
#: The settings, or whole sections of them, that a step uses.
_USED: Final = {
    "prepare": _SPLIT,
    "tune": (*_SPLIT, "seed"),
    "ensemble": (*_SPLIT, "seed", "device", "precision", "loader", "inference"),
}
#: The steps that use every setting.
_TRAINING: Final = ("train", "hpo", "main")


def load_run_settings(
    step: str, *, config: str = "", overrides: str = "", **values: Any
) -> RunSettings:
    """Resolve the settings of ``step``: ``prepare``, ``tune`` or ``ensemble``.

    ``config``, ``overrides`` and ``values`` are as in :func:`load_config`. A file may also hold
    settings of other steps, which are passed over: one file serves them all.

    Raises:
        ConfigError: an unknown key, a value that does not fit, or a key of ``overrides`` that the
            step does not use.
    """
    user = dict(flat(user_settings(config)))
    given = dict(flat(command_line_settings(overrides, values)))
    if unknown := unknown_keys([*user, *given]):
        raise ConfigError(unknown)
    for name in given:
        if not _uses(step, name):
            raise ConfigError(f"set={quoted(overrides)}: {_refusal(step, name)}")
    passed_over = [name for name in user if not _uses(step, name)]
    if passed_over:
        log.info("%s does not use these settings of your file: %s", step, listed(passed_over))
    base = base_settings()
    used = {name: value for name, value in user.items() if _uses(step, name)}
    layers = [
        {key: base[key] for key in RunSettings.model_fields},
        *(nested(name, value) for name, value in (used | given).items()),
    ]
    return validated(RunSettings, with_named_classes(reduce(merged, layers)))


def step_setting_names(step: str) -> list[str]:
    """The full names of the settings that ``step`` uses."""
    return [name for name in setting_names() if any(_holds(used, name) for used in _USED[step])]


def _uses(step: str, name: str) -> bool:
    """Whether ``step`` uses a setting, or a part of the section ``name``."""
    return any(_holds(used, name) or _holds(name, used) for used in _USED[step])


def _holds(section: str, name: str) -> bool:
    return f"{name}.".startswith(f"{section}.")


def _refusal(step: str, name: str) -> str:
    users = [other for other in _USED if _uses(other, name)]
    return f"{step} does not use {name}; {_in_words([*users, *_TRAINING])} do"


def _in_words(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}"

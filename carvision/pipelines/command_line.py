"""The command line of an entry point: repeated settings, and errors that name the parameters."""

from collections.abc import Sequence
from typing import Any

from carvision.config import nearest, nearest_name


def with_one_set(arguments: Sequence[str]) -> list[str]:
    """The command line with a single ``--set``, to which every further one adds its settings."""
    settings: list[str] = []
    others: list[str] = []
    words = iter(arguments)
    for word in words:
        if word.startswith("--set="):
            settings.append(word.removeprefix("--set="))
        elif word == "--set" and (value := next(words, None)) is not None:
            settings.append(value)
        else:
            others.append(word)
    return [*others, "--set", " ".join(settings)] if len(settings) > 1 else list(arguments)


def usage_message(error: Any, settings: Sequence[str]) -> str:
    """What is wrong with a command line, and its parameters as ``mlflow run`` spells them.

    ``error`` is click's usage error; ``settings`` are those that ``set=`` takes here.
    """
    options = [option.opts[0] for option in error.ctx.command.params]
    parameters = [_parameter(option) for option in options]
    wrong = error.format_message()
    if hasattr(error, "possibilities"):
        meant = _meant(_parameter(error.option_name)[:100], parameters, settings)
        wrong = f"No such option: {error.option_name}{meant}"
    return f"{wrong}\nThe parameters are {', '.join(parameters)}; each is given as -P name=value"


def _parameter(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _meant(name: str, parameters: Sequence[str], settings: Sequence[str]) -> str:
    """A question that names the parameter, or the setting, that ``name`` may mean."""
    parameter, setting = nearest(name, parameters), nearest_name(name, settings)
    is_setting = setting is not None and name in (setting, setting.rpartition(".")[2])
    if setting is not None and (is_setting or not parameter):
        return f' (did you mean the setting {setting}? -P set="{setting}=VALUE")'
    return parameter

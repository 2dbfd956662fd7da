"""The user's own YAML file of settings, ``config=FILE``."""

from pathlib import Path
from typing import Any, Final

from carvision.config.parameters import path_text
from carvision.config.schema import Config
from carvision.config.words import shortened
from carvision.config.yaml_values import yaml_value
from carvision.errors import ConfigError

_LARGEST: Final = 2**20


def user_settings(config: str) -> dict[str, Any]:
    """The settings in the file that ``config=`` names; none where it names no file.

    Raises:
        ConfigError: the file cannot be read, or is no YAML of settings.
    """
    path = path_text(config)
    if not path:
        return {}
    named = f"config={shortened(path, 300)}"
    content = _content(Path(path), named)
    try:
        settings = yaml_value(content.decode("utf-8"), Config)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{named}: save it as UTF-8: {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{named}: not valid YAML for settings: {error}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{named}: expected a mapping of keys to values")
    return settings


def _content(path: Path, named: str) -> bytes:
    try:
        if not path.is_file():
            what = "is no file" if path.exists() else "there is no such file"
            raise ConfigError(f"{named}: {what}")
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{named}: cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise ConfigError(f"{named}: it has more than 1 MiB, which no file of settings needs")
    return content

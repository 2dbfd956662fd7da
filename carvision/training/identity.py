"""What a checkpoint belongs to: the configuration, the classes, the data and the fold."""

import json
from pathlib import Path
from typing import Any

from carvision.config import Config
from carvision.data.manifest import Manifest
from carvision.errors import ConfigError


def identity_of(config: Config, manifest: Manifest, fold: int, cache_side: int | None) -> str:
    """Everything that changes the result, as JSON."""
    settings = config.result_settings()
    settings["model"]["weights"] = None if config.model.weights is None else "a file"
    about = {
        "classes": list(manifest.classes.names),
        "data": manifest.fingerprint,
        "fold": fold,
        "cache_side": cache_side,
    }
    return json.dumps(settings | about, sort_keys=True)


def refuse_another(path: Path, found: str, wanted: str) -> None:
    """Refuse a checkpoint of another identity.

    Raises:
        ConfigError: with the settings that differ.
    """
    changed = differences(found, wanted)
    if changed:
        raise ConfigError(
            f"the checkpoint {path} is of another training ({', '.join(changed)}); train with "
            "those settings, or remove its folder to start anew"
        )


def differences(found: str, wanted: str) -> list[str]:
    """The first five settings that differ between two identities: ``key: found → wanted``."""
    before, now = _flat(json.loads(found)), _flat(json.loads(wanted))
    changed = sorted(key for key in before | now if before.get(key) != now.get(key))
    return [f"{key}: {before.get(key)} → {now.get(key)}" for key in changed[:5]]


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
        flat |= inner
    return flat

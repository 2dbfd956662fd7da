"""What a checkpoint belongs to: the configuration, the classes, the data and the fold."""

import json
from pathlib import Path
from typing import Any

from carvision.config import Config
from carvision.data.manifest import Manifest
from carvision.errors import ConfigError
from carvision.inference import resolved_precision

#: What a checkpoint holds; one of before is refused, not misread.
_FORMAT = 2


def identity_of(config: Config, manifest: Manifest, fold: int, cache_side: int | None) -> str:
    """Everything that changes the result, as JSON."""
    settings = config.result_settings() | {"precision": resolved_precision(config)}
    settings["model"]["weights"] = None if config.model.weights is None else "a file"
    about = {
        "checkpoint": _FORMAT,
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
    """The first five settings that differ between two identities: ``key: found → wanted``.

    Data and classes come first: where they differ, other settings matter little.
    """
    before, now = _flat(json.loads(found)), _flat(json.loads(wanted))
    changed = [key for key in before | now if before.get(key) != now.get(key)]
    changed.sort(key=lambda key: (key not in ("data", "classes"), key))
    return [f"{key}: {_told(before.get(key), now.get(key))}" for key in changed[:5]]


def _told(before: Any, now: Any) -> str:
    """How a value changed; of a list, which may have hundreds of names, what came and went."""
    if not (isinstance(before, list) and isinstance(now, list)):
        return f"{before} → {now}"
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    return f"{len(before)} → {len(now)}, without {gone[:3]}, with {new[:3]}"


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
        flat |= inner
    return flat

"""How two fold identities differ: which checkpoint a training may go on from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carvision.config.layers import flat
from carvision.errors import ConfigError


def refuse_another(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another identity.

    Raises:
        ConfigError: with the settings that differ.
    """
    if found.get("checkpoint") != wanted["checkpoint"]:
        raise ConfigError(
            f"the checkpoint {path} was written by another version of carvision, which this one "
            "cannot go on from; resume=never trains the fold anew, or remove the checkpoint's "
            "folder"
        )
    changed = differences(found, wanted)
    if changed:
        raise ConfigError(
            f"the checkpoint {path} is of another training ({', '.join(changed)}); train with "
            "those settings, or remove its folder to start anew"
        )


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The first five settings that differ between two identities: ``key: found → wanted``.

    Data and classes come first: where they differ, other settings matter little.
    """
    before, now = dict(flat(found)), dict(flat(wanted))
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

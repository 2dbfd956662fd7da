"""Comparison of two fold identities: whether a training may go on from a checkpoint.

An identity is :attr:`carvision.training.job.FoldJob.identity`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from carvision.config.layers import flat
from carvision.errors import ConfigError

_WEIGHTS = "model.weights"


def refuse_another(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse the checkpoint ``path`` if its identity ``found`` is not the one ``wanted``.

    Raises:
        ConfigError: it is another one; the message names the settings that differ.
    """
    if not is_of_this_version(found, wanted):
        raise ConfigError(
            f"the checkpoint {path} was written by another version of carvision, which this one "
            "cannot go on from; remove its folder to start anew (in train, resume=never does)"
        )
    changed = differences(found, wanted)
    if changed:
        raise ConfigError(
            f"the checkpoint {path} is of another training ({', '.join(changed)}); train with "
            "those settings, or remove its folder to start anew"
        )


def is_of_this_version(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two identities are of checkpoints of the same format."""
    return bool(found.get("checkpoint") == wanted["checkpoint"])


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """List the first five settings that differ, each as ``key: found → wanted``.

    Data and classes come first: where they differ, other settings matter little.
    """
    before, now = dict(flat(found)), dict(flat(wanted))
    changed = [key for key in before | now if before.get(key) != now.get(key)]
    changed.sort(key=lambda key: (key not in ("data", "classes"), key))
    return [f"{key}: {_change(key, before.get(key), now.get(key))}" for key in changed[:5]]


def _change(key: str, before: Any, now: Any) -> str:
    if key == _WEIGHTS:
        # SHA-256 sums mean nothing to a reader.
        before, now = ("a file" if value else value for value in (before, now))
        return "another file" if before == now else f"{before} → {now}"
    if not (isinstance(before, list) and isinstance(now, list)):
        return f"{before} → {now}"
    # A list may have hundreds of class names.
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    return f"{len(before)} → {len(now)}, without {gone[:3]}, with {new[:3]}"

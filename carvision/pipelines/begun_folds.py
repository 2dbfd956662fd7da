"""Folds that were begun with other settings: said before the same fold is trained anew.

A fold goes on from checkpoints of its own settings alone. One setting changed names another folder,
and without a word hours of training would seem to be gone.
"""

import json
from pathlib import Path

from carvision.files import read_json, write_json
from carvision.pipelines.session import announce
from carvision.training.identity import differences

_SETTINGS = "settings.json"
_CHECKPOINTS = "step*.pt"


def announce_others(name: str, folder: Path, identity: str) -> None:
    """Note what is trained in ``folder``; if it begins there, name what was begun elsewhere.

    ``identity`` is :func:`carvision.training.identity.identity_of` the fold ``name``.
    """
    begins = not any(folder.glob(_CHECKPOINTS))
    write_json(folder / _SETTINGS, json.loads(identity))
    if not begins:
        return
    for other in sorted(folder.parents[1].glob(f"*/{folder.name}")):
        found = _settings(other)
        if other == folder or found is None or not any(other.glob(_CHECKPOINTS)):
            continue
        wanted = json.loads(identity)
        if all(found.get(key) == wanted[key] for key in ("name", "data")):
            # The content of a weights file is in the folder's name alone.
            changed = differences(json.dumps(found), identity) or ["model.weights: another file"]
            announce(
                f"{name} is trained anew. It was begun with other settings before, and is not "
                f"finished: {', '.join(changed)}. To go on with that, give its settings; its "
                f"checkpoints are kept in {other}, until you remove them"
            )


def _settings(folder: Path) -> dict[str, object] | None:
    try:
        settings: dict[str, object] = read_json(folder / _SETTINGS)
    except (OSError, ValueError):
        return None
    return settings

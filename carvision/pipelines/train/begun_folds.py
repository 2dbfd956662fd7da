"""Folds that were begun and not finished: which one goes on, and which one cannot.

A fold goes on from checkpoints of its own settings and data alone. One setting changed, one photo
excluded names another folder, and without a word hours of training would seem to be gone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from carvision.files import read_json, write_json
from carvision.reporting.console import announce
from carvision.tracking.event_log import EVENTS_FILE, read_events
from carvision.training.identity import differences

_SETTINGS = "settings.json"
_CHECKPOINTS = "step*.pt"


def begun_after(finished: Run, folder: Path) -> bool:
    """Whether the fold in ``folder`` was begun anew when it had ``finished``, and stopped.

    What was begun before, another machine may have finished from its own beginning.
    """
    begun = min((event.time for event in read_events(folder / EVENTS_FILE)), default=0.0)
    return 1000 * begun > finished.info.end_time


def announce_others(name: str, folder: Path, identity: Mapping[str, Any]) -> None:
    """Note what is trained in ``folder``; if it begins there, name what was begun elsewhere.

    ``identity`` is :attr:`carvision.training.job.FoldJob.identity` of the fold ``name``.
    """
    begins = not any(folder.glob(_CHECKPOINTS))
    write_json(folder / _SETTINGS, identity)
    if not begins:
        return
    for other in sorted(folder.parents[1].glob(f"*/{folder.name}")):
        found = _settings(other)
        if other == folder or found is None or not any(other.glob(_CHECKPOINTS)):
            continue
        if found.get("name") == identity["name"]:
            # The content of a weights file is in the folder's name alone.
            changed = differences(found, identity) or ["model.weights: another file"]
            announce(
                f"{name} is trained anew. It was begun with other settings or data before, and is "
                f"not finished: {', '.join(changed)}. To go on with that, give what it had; its "
                f"checkpoints are kept in {other}, until you remove them"
            )


def _settings(folder: Path) -> dict[str, object] | None:
    try:
        settings = read_json(folder / _SETTINGS)
    except (OSError, ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None

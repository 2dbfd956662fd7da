"""Which process works at the run that ``mlflow run`` opened, from its first moment on.

The run is tagged with its process once MLflow is imported, which takes seconds. What is killed
before that would be RUNNING for good, so a note on the disk tells whose it is until then.
"""

import os
from pathlib import Path

from carvision import workspace
from carvision.files import plain_name, read_json, write_json
from carvision.redaction import redacted
from carvision.store.process import is_gone, this_process


def note_begun() -> None:
    """Note that this process works at the run that it was handed, if it was."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return
    about = {
        "process": this_process(),
        "store": redacted(os.environ.get("MLFLOW_TRACKING_URI", "")),
    }
    try:
        write_json(workspace.BEGUN / f"{plain_name(run_id)}.json", about)
    except (OSError, ValueError):
        # A disk or a run that refuses is soon met by the step itself, which says so.
        return


def begun_and_gone(store: str) -> dict[str, Path]:
    """The notes of processes that have ended, by their run in ``store``."""
    notes = {}
    for path in workspace.BEGUN.glob("*.json"):
        try:
            about = read_json(path)
            ended = about["store"] == store and is_gone(about["process"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another process removed it
        if ended:
            notes[path.stem] = path
    return notes

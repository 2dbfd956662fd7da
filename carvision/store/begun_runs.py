"""Notes on the disk of the process that works at a run which ``mlflow run`` opened.

A run is tagged with its process once MLflow is imported, which takes seconds. Without the note, the
run of a process that is killed before that would stay RUNNING.
"""

import os
from pathlib import Path

from carvision import workspace
from carvision.files import plain_name, read_json, write_json
from carvision.redaction import redacted
from carvision.store.process import is_gone, this_process


def note_begun() -> None:
    """Note that this process works at the run that it was handed, if any."""
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
        # The step meets the same disk and the same run, and reports what is wrong.
        return


def begun_and_gone(store: str) -> dict[str, Path]:
    """The notes of processes that have ended, by the ID of their run in ``store``."""
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

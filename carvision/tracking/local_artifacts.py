"""Artifacts that lie on this machine's disk, to be read where they are: copies are gigabytes."""

from pathlib import Path

from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from carvision.tracking.store import client


def in_place(run_id: str, path: str) -> Path | None:
    """Where an artifact of a run lies; None if that is not on this machine. Not to be changed."""
    root = client().get_run(run_id).info.artifact_uri
    if not is_local_uri(root, is_tracking_or_registry_uri=False):
        return None
    found = Path(local_file_uri_to_path(root)) / path
    # What is missing is left to the download, which says so.
    return found if found.exists() else None

"""Where a registered version keeps its artifacts."""

from pathlib import Path
from typing import Final

import mlflow

#: Names of the artifacts that a model is logged with.
BUNDLE: Final = "bundle"
SPEC: Final = "spec"
SPEC_FILE: Final = "ensemble.json"


def fetch_bundle(name: str, version: int, into: Path) -> Path:
    """Download a backbone's bundle."""
    return _fetch(name, version, BUNDLE, into)


def fetch_spec(name: str, version: int, into: Path) -> Path:
    """Download an ensemble's specification."""
    return _fetch(name, version, SPEC_FILE, into)


def _fetch(name: str, version: int, item: str, into: Path) -> Path:
    uri = f"models:/{name}/{version}/artifacts/{item}"
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into)))

"""A record: results on the disk, whole, that are then written into an MLflow run.

A record is a folder with ``about.json`` (metrics, parameters and tags of the run) and
``artifacts/``. Within :func:`recording`, the functions below write into the open record; they are
named like those of MLflow that write into the open run. :func:`send` copies a record into a run.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mlflow.entities import Metric, Param, RunTag

from carvision.errors import TrackingError
from carvision.files import read_json, write_json
from carvision.store.client import client

ABOUT: Final = "about.json"
ARTIFACTS: Final = "artifacts"
_NEW = "new"


@dataclass
class Record:
    """A record that is being written; ``others`` is what else ``about.json`` says."""

    folder: Path
    others: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def artifacts(self) -> Path:
        """The folder of its artifacts."""
        return self.folder / ARTIFACTS


_open: ContextVar[Record] = ContextVar("record")


@contextmanager
def recording(folder: Path, others: dict[str, Any]) -> Iterator[Record]:
    """Write what the block logs into ``folder``; ``about.json`` is written last."""
    record = Record(folder, others)
    record.artifacts.mkdir()
    before = _open.set(record)
    try:
        yield record
    finally:
        _open.reset(before)
    values = {"metrics": record.metrics, "params": record.params, "tags": record.tags}
    write_json(folder / ABOUT, {**record.others, **values, "time": int(time.time() * 1000)})


def log_metrics(values: Mapping[str, float]) -> None:
    """Add metrics to the open record."""
    _open.get().metrics.update({key: float(value) for key, value in values.items()})


def log_params(values: Mapping[str, Any]) -> None:
    """Add parameters to the open record, as text."""
    _open.get().params.update({key: str(value) for key, value in values.items()})


def set_tags(values: Mapping[str, str]) -> None:
    """Add tags to the open record."""
    _open.get().tags.update(values)


def log_text(text: str, name: str) -> None:
    """Add a text file ``name`` to the open record."""
    (_open.get().artifacts / name).write_text(text, encoding="utf-8")


def log_artifact(path: Path) -> None:
    """Add a copy of a file to the open record."""
    shutil.copyfile(path, _open.get().artifacts / path.name)


@contextmanager
def log_artifacts(into: str = "") -> Iterator[Path]:
    """Yield an empty folder, whose files then go to the folder ``into`` of the open record."""
    record = _open.get()
    folder = record.folder / _NEW
    folder.mkdir()
    yield folder
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        target = record.artifacts / into / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    shutil.rmtree(folder)


def send(folder: Path, run_id: str) -> None:
    """Copy the record in ``folder`` into a run.

    A second call changes nothing: MLflow takes a metric of the same value and time for the first,
    and an artifact replaces itself.
    """
    about = read_about(folder)
    metrics = [Metric(key, value, about["time"], 0) for key, value in about["metrics"].items()]
    params = [Param(key, value) for key, value in about["params"].items()]
    tags = [RunTag(key, value) for key, value in about["tags"].items()]
    client().log_batch(run_id, metrics=metrics, params=params, tags=tags)
    client().log_artifacts(run_id, str(folder / ARTIFACTS))


def read_about(folder: Path) -> dict[str, Any]:
    """Read ``about.json`` of a record: its name, metrics, parameters, tags, time, and others.

    Raises:
        TrackingError: the file is damaged.
    """
    with _damage_named(folder):
        about = read_json(folder / ABOUT)
        params = about.get("params", {})  # a fold has none
        texts = [about["name"], *params.values(), *about["tags"].values(), *about["metrics"]]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a name, a parameter or a tag is not text")
        values = {"params": params, "metrics": _numbers(about["metrics"])}
        return {**about, **values, "time": int(about["time"])}


def read_metrics(folder: Path) -> dict[str, float]:
    """Read the metrics of a record.

    Raises:
        TrackingError: ``about.json`` is damaged.
    """
    with _damage_named(folder):
        return _numbers(read_json(folder / ABOUT)["metrics"])


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrackingError(f"{folder / ABOUT} is damaged ({error})") from error


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}

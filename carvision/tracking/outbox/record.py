"""What a step finds out: on the disk first, whole, and in its MLflow run afterwards.

Within :func:`recording` the functions below, which have the names of MLflow's own, write into a
folder of ``about.json`` (metrics, parameters and tags) and ``artifacts/``; :func:`send` writes that
into a run, and can be repeated. Without, they write straight into the run that is open.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import mlflow
from mlflow.entities import Metric, Param, RunTag

from carvision.files import read_json, scratch_folder, write_json
from carvision.store.runs import client

ABOUT: Final = "about.json"
ARTIFACTS: Final = "artifacts"
_NEW = "new"


@dataclass
class Record:
    """A record that is being written; ``others`` are what else is to be known of its run."""

    folder: Path
    others: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def artifacts(self) -> Path:
        """Where its artifacts lie."""
        return self.folder / ARTIFACTS


_open: ContextVar[Record | None] = ContextVar("record", default=None)


@contextmanager
def recording(folder: Path, others: dict[str, Any]) -> Iterator[Record]:
    """Write into ``folder`` what the block logs."""
    record = Record(folder, others)
    record.artifacts.mkdir()
    before = _open.set(record)
    try:
        yield record
    finally:
        _open.reset(before)
    values = {"metrics": record.metrics, "params": record.params, "tags": record.tags}
    write_json(folder / ABOUT, {**record.others, **values, "time": int(time.time() * 1000)})


def send(folder: Path, run_id: str) -> None:
    """Write a record into a run. Repeated, it changes nothing: each value has its time."""
    about = read_json(folder / ABOUT)
    metrics = [Metric(key, value, about["time"], 0) for key, value in about["metrics"].items()]
    params = [Param(key, value) for key, value in about.get("params", {}).items()]
    tags = [RunTag(key, value) for key, value in about["tags"].items()]
    client().log_batch(run_id, metrics=metrics, params=params, tags=tags)
    client().log_artifacts(run_id, str(folder / ARTIFACTS))


def log_metrics(values: Mapping[str, float]) -> None:
    if (record := _open.get()) is None:
        mlflow.log_metrics(dict(values))
    else:
        record.metrics.update({key: float(value) for key, value in values.items()})


def log_params(values: Mapping[str, Any]) -> None:
    if (record := _open.get()) is None:
        mlflow.log_params(dict(values))
    else:
        record.params.update({key: str(value) for key, value in values.items()})


def set_tags(values: Mapping[str, str]) -> None:
    if (record := _open.get()) is None:
        mlflow.set_tags(dict(values))
    else:
        record.tags.update(values)


def log_text(text: str, name: str) -> None:
    if (record := _open.get()) is None:
        mlflow.log_text(text, name)
    else:
        (record.artifacts / name).write_text(text, encoding="utf-8")


def log_artifact(path: Path) -> None:
    """A file as it is now."""
    if (record := _open.get()) is None:
        mlflow.log_artifact(str(path))
    else:
        shutil.copyfile(path, record.artifacts / path.name)


@contextmanager
def log_artifacts(into: str = "") -> Iterator[Path]:
    """A folder to write artifacts into, which are logged below ``into``."""
    if (record := _open.get()) is None:
        with scratch_folder() as folder:
            yield folder
            mlflow.log_artifacts(str(folder), into or None)
    else:
        folder = record.folder / _NEW
        folder.mkdir()
        yield folder
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            target = record.artifacts / into / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        shutil.rmtree(folder)

"""Prepared data in the tracking store: the runs that hold manifests, and how they are found."""

import json
import logging
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

import mlflow
from mlflow.data.sources import LocalArtifactDatasetSource
from mlflow.entities import Run

from carvision.config import SplitSettings
from carvision.contracts.checksums import SUMS, damage_below, sums_of
from carvision.data.manifest import MANIFEST_FILES, Manifest, read_manifest, write_manifest
from carvision.data.names import path_on_disk, portable_path, printable
from carvision.data.preparation.exclusions import (
    exclusions_digest,
    kept_exclusions,
    write_exclusions,
)
from carvision.errors import DataError, GoneError
from carvision.files import plain_name, scratch_folder
from carvision.store.artifacts import fetch
from carvision.store.client import client
from carvision.store.relocation import ROOT_TAG
from carvision.store.runs import find_runs
from carvision.store.tags import DATA

log = logging.getLogger(__name__)

STAGE_PREPARE: Final = "prepare"
_LISTING = "carvision.listing"
_SPLIT = "carvision.split"
_EXCLUSIONS = "carvision.exclusions"
_USED = "carvision.used_at"


@dataclass(frozen=True)
class PreparedRun:
    """A prepare run: the photos' folder, how they were divided, and the manifest."""

    run: Run

    @property
    def root(self) -> Path:
        """The data's folder on the machine that prepared it."""
        return Path(path_on_disk(self.run.data.tags[ROOT_TAG]))

    @property
    def data(self) -> str:
        """The fingerprint of its manifest."""
        return self.run.data.tags[DATA]

    @property
    def listing(self) -> str:
        """The digest of the photos' names, sizes and times when they were prepared."""
        return self.run.data.tags[_LISTING]

    @property
    def split(self) -> SplitSettings:
        """The settings by which photos were divided into folds."""
        return SplitSettings.model_validate(json.loads(self.run.data.tags[_SPLIT]))

    def exclusions(self) -> dict[str, str]:
        """The list of excluded photos: the reason of each, by ``image_id``.

        Raises:
            GoneError: the list was removed, or cannot be read.
            DataError: the list was changed.
        """
        if self.run.data.tags.get(_EXCLUSIONS) == exclusions_digest({}):
            return {}
        with self._kept() as folder:
            return kept_exclusions(folder, read_manifest(folder).frame)

    def excludes(self, exclusions: Mapping[str, str]) -> bool:
        """Whether it was prepared with this list of excluded photos."""
        digest = self.run.data.tags.get(_EXCLUSIONS)
        if digest is None:  # of an earlier version
            try:
                digest = exclusions_digest(self.exclusions())
            except GoneError:
                return False
        return digest == exclusions_digest(exclusions)

    def manifest(self) -> Manifest:
        """The manifest, read from the run's artifacts.

        Raises:
            GoneError: the manifest was removed, or cannot be read.
            DataError: the manifest was changed.
        """
        with self._kept() as folder:
            return read_manifest(folder)

    def manifest_or_none(self) -> Manifest | None:
        """:meth:`manifest`; None, and a warning, if it is gone."""
        try:
            return self.manifest()
        except GoneError as error:
            log.warning("%s; its data counts as not prepared", error)
            return None

    @contextmanager
    def _kept(self) -> Iterator[Path]:
        run_id = self.run.info.run_id
        with scratch_folder() as scratch:
            folder = fetch(run_id, "manifest", scratch)
            for name in MANIFEST_FILES:
                if not (folder / name).is_file():
                    raise GoneError(f"run {run_id} does not keep its {name} any more")
            stored = self.run.data.tags.get(SUMS)
            if stored is not None and (wrong := damage_below(folder, stored)) is not None:
                raise DataError(
                    f"run {run_id}, which prepared {self.root}: {wrong}. Delete the run and "
                    "prepare the data again: mlflow run . -e prepare"
                )
            try:
                yield folder
            except DataError as error:
                raise GoneError(f"what run {run_id} keeps is damaged: {error}") from error

    def mark_used(self) -> None:
        """Make this the data that ``data=latest`` means."""
        client().set_tag(self.run.info.run_id, _USED, _now())


def exclusions_in_force(last: PreparedRun | None) -> dict[str, str]:
    """The list of excluded photos that ``last`` was prepared with.

    Another run may hold the same list, where the files of ``last`` are gone.

    Raises:
        DataError: there was a list, and no run has it any more.
    """
    if last is None:
        return {}
    digest = last.run.data.tags.get(_EXCLUSIONS)
    others = (
        run for run in prepared_runs() if digest and digest == run.run.data.tags.get(_EXCLUSIONS)
    )
    for run in (last, *others):
        try:
            return run.exclusions()
        except GoneError as error:
            reason = error
    if digest is None and not last.run.data.metrics.get("excluded"):
        return {}
    data = shlex.quote(f"data={last.root}")
    raise DataError(
        f"photos of {printable(last.root)} were left out by a list, and that is gone: {reason}. "
        f"Give it again: mlflow run . -e prepare -P {data} -P exclude=list.csv (exclude=none "
        "leaves none out)"
    )


@dataclass(frozen=True)
class Request:
    """What a manifest is made from; a later step compares it with the tags of earlier runs."""

    root: Path
    listing: str
    split: SplitSettings
    exclusions: Mapping[str, str]


def log_prepared(manifest: Manifest, request: Request, page: str) -> None:
    """Log a manifest and its HTML page into the open run, where later steps find them."""
    log_data_input(manifest, request.root, STAGE_PREPARE)
    mlflow.log_text(page, "data.html")
    with scratch_folder() as folder:
        write_manifest(folder, manifest)
        write_exclusions(folder, request.exclusions)
        mlflow.set_tag(SUMS, sums_of(folder))
        mlflow.log_artifacts(str(folder), "manifest")
    usable = manifest.usable
    mlflow.log_metrics(
        {
            "photos": len(manifest.frame),
            "excluded": len(manifest.frame) - len(usable),
            "classes": len(manifest.classes.names),
            "duplicates": len(usable) - usable["group"].nunique(),
            "conflicts": len(manifest.conflicts),
        }
    )
    # The tags come last: a run that has them is complete.
    mlflow.set_tags(
        {
            DATA: manifest.fingerprint,
            ROOT_TAG: portable_path(str(request.root)),
            _LISTING: request.listing,
            _SPLIT: request.split.model_dump_json(),
            _EXCLUSIONS: exclusions_digest(request.exclusions),
            _USED: _now(),
        }
    )


def log_data_input(manifest: Manifest, root: Path, context: str) -> None:
    """Log the data as an input of the open run, which the UI shows."""
    numbers = ["width", "height", "fold"]
    # As floats: MLflow warns that columns of integers cannot hold missing values.
    table = manifest.usable[["image_id", "label", "group", *numbers]]
    dataset = mlflow.data.from_pandas(
        table.astype(dict.fromkeys(numbers, float)),
        source=LocalArtifactDatasetSource(root.as_uri()),
        targets="label",
        name=printable(root.name),
        digest=manifest.fingerprint,
    )
    mlflow.log_input(dataset, context=context)


def prepared_runs() -> list[PreparedRun]:
    """All prepare runs of this store, the one used last first."""
    runs = [run for run in find_runs(STAGE_PREPARE, {}) if _USED in run.data.tags and _is_ours(run)]
    return [PreparedRun(run) for run in sorted(runs, key=lambda r: r.data.tags[_USED])[::-1]]


def _is_ours(run: Run) -> bool:
    """Whether a run has the tags of a prepare run; a warning names one that has not."""
    prepared = PreparedRun(run)
    try:
        root = str(prepared.root)
        # The path may be that of another operating system.
        absolute = PurePosixPath(root).is_absolute() or PureWindowsPath(root).is_absolute()
        if absolute and "\0" not in root and prepared.listing and prepared.split:
            return bool(plain_name(prepared.data))
    except (KeyError, ValueError):
        pass
    log.warning("run %s is passed over: its tags are not of a prepare run", run.info.run_id)
    return False


def _now() -> str:
    return f"{time.time():020.6f}"

"""Versions of registered backbones: what their tags say, and whether that can be trusted.

Anybody can register a version, delete one, or set tags and aliases, so tags and files are checked.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

from mlflow.entities.model_registry import ModelVersion

from carvision.contracts import ClassMap
from carvision.contracts.checksums import SUMS, damage_below
from carvision.contracts.names import is_run_id
from carvision.errors import TrackingError, WeightsError
from carvision.files import plain_name
from carvision.models import Bundle, read_bundle
from carvision.store.model_files import fetch_bundle
from carvision.store.server import patiently
from carvision.store.tags import DATA, FOLD, MODEL, SET

FOLD_RUNS: Final = "carvision.fold_runs"
SMOKE_RUN: Final = "carvision.trial_run"
OOF: Final = "carvision.oof_log_loss"
WEIGHT: Final = "carvision.ensemble_weight"
#: For people: how many folds of the data there are.
_FOLDS: Final = "folds"

TUNE_AGAIN: Final = "tune again: mlflow run . -e tune"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedFolds:
    """The folds that a version is to hold.

    ``runs`` is the run of each fold, ``data`` the fingerprint of the manifest that has
    ``all_folds`` folds. In a smoke run ``train.max_steps`` cut the training, and the predictions.
    """

    set_id: str
    data: str
    runs: Mapping[int, str]
    all_folds: int
    oof_log_loss: float
    smoke_run: bool

    @property
    def tags(self) -> dict[str, str]:
        """The tags of the version, which :class:`MemberVersion` reads."""
        return {
            SET: self.set_id,
            DATA: self.data,
            FOLD: ",".join(map(str, self.runs)),
            FOLD_RUNS: ",".join(self.runs.values()),
            _FOLDS: f"{len(self.runs)}/{self.all_folds}",
            OOF: repr(self.oof_log_loss),
            SMOKE_RUN: str(self.smoke_run).lower(),
        }


@dataclass(frozen=True)
class MemberVersion:
    """A version of a registered backbone, as its tags describe it."""

    entry: ModelVersion

    @property
    def preset(self) -> str:
        """The backbone's preset."""
        return self.entry.tags[MODEL]

    @property
    def version(self) -> int:
        """The registry's number."""
        return int(self.entry.version)

    @property
    def name(self) -> str:
        """The registered model's name."""
        return str(self.entry.name)

    @property
    def data(self) -> str:
        """Fingerprint of the data it was trained on."""
        return self.entry.tags[DATA]

    @property
    def fold_set(self) -> str:
        """The identity of the fold set that it holds."""
        return self.entry.tags[SET]

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds it holds."""
        return tuple(int(fold) for fold in self.entry.tags[FOLD].split(","))

    @property
    def fold_runs(self) -> list[str]:
        """The runs of its folds, in the order of ``folds``."""
        return self.entry.tags[FOLD_RUNS].split(",")

    @property
    def smoke_run(self) -> bool:
        """Whether ``train.max_steps`` cut its training and its predictions."""
        return self.entry.tags[SMOKE_RUN] == "true"

    @property
    def ensemble_weight(self) -> float:
        """Its weight by the plan's recipe, as configured."""
        return float(self.entry.tags[WEIGHT])

    @property
    def oof_log_loss(self) -> float:
        """Out-of-fold log loss of the original view."""
        return float(self.entry.tags[OOF])

    @property
    def rank(self) -> tuple[bool, int, float]:
        """A key that sorts the best version first.

        Whole trainings come before smoke runs, then more folds, then the lower log loss.
        """
        return (self.smoke_run, -len(self.folds), self.oof_log_loss)

    def fetch(self, into: Path, classes: ClassMap | None = None) -> Bundle:
        """Fetch its weights into the folder ``into``; ``classes`` are those of an ensemble.

        Raises:
            WeightsError: a file was changed, or the model is not the one that the tags describe.
            TrackingError: it has other classes than the ensemble, or the tracking server is away
                for long.
        """
        download = partial(fetch_bundle, self.name, self.version, into)
        folder = patiently(f"fetching {self.name} version {self.version}", download)
        wrong = damage_of(self.entry, folder)
        if wrong is not None:
            raise WeightsError(
                f"{self.name} version {self.version}: {wrong}. Bring the file back from a copy; or "
                "delete this version, train again with its settings (finished folds are taken "
                f"over), and {TUNE_AGAIN}"
            )
        bundle = read_bundle(folder)
        if (bundle.config.name, bundle.folds) != (self.preset, tuple(sorted(self.folds))):
            raise WeightsError(
                f"{self.name} version {self.version} holds {bundle.config.name}, folds "
                f"{list(bundle.folds)}; its tags say {self.preset}, folds {list(self.folds)}"
            )
        if classes is not None and bundle.classes != classes:
            raise TrackingError(
                f"{self.name} version {self.version} is of other classes than the ensemble; "
                f"{TUNE_AGAIN}"
            )
        return bundle


def registered_name(preset: str) -> str:
    """The name of a backbone's registered model."""
    return f"carvision-{preset}"


def member_of(entry: ModelVersion) -> MemberVersion:
    """A version that was registered by carvision, as its tags show.

    Raises:
        TrackingError: a tag is missing, or has a value that carvision never writes.
    """
    for tag, is_right in _TAGS.items():
        value = entry.tags.get(tag)
        if value is None or not _holds(is_right, value):
            what = "is missing" if value is None else f"is {value[:100]!r}"
            raise _not_ours(entry, f"the tag {tag} {what}")
    member = MemberVersion(entry)
    if member.name != registered_name(member.preset):
        raise _not_ours(entry, f"the tag {MODEL} is {member.preset!r}")
    if len(member.fold_runs) != len(member.folds):
        raise _not_ours(entry, f"it has {len(member.folds)} folds of {len(member.fold_runs)} runs")
    return member


def member_or_none(entry: ModelVersion) -> MemberVersion | None:
    """:func:`member_of`; None, and a warning, for a version that others registered."""
    try:
        return member_of(entry)
    except TrackingError as error:
        log.warning("%s: it is passed over", error)
        return None


def damage_of(entry: ModelVersion, folder: Path) -> str | None:
    """Which file of a version was changed since it was registered; None where none was."""
    stored = entry.tags.get(SUMS)
    if stored is None:
        _log_unchecked(str(entry.name), str(entry.version))
        return None
    return damage_below(folder, stored)


@cache
def _log_unchecked(name: str, version: str) -> None:
    log.info("%s version %s was registered without sums: its files are not checked", name, version)


def _not_ours(entry: ModelVersion, why: str) -> TrackingError:
    return TrackingError(
        f"{entry.name} version {entry.version} was not registered by carvision: {why}"
    )


def _holds(is_right: Callable[[str], bool], value: str) -> bool:
    try:
        return is_right(value)
    except ValueError:
        return False


def _are_folds(value: str) -> bool:
    folds = [int(fold) for fold in value.split(",")]
    return min(folds) >= 1 and len(set(folds)) == len(folds)


def _is_weight(value: str) -> bool:
    return math.isfinite(float(value)) and float(value) > 0


def _is_loss(value: str) -> bool:
    return math.isfinite(float(value)) and float(value) >= 0


#: What each tag of a version may hold.
_TAGS: Final[Mapping[str, Callable[[str], bool]]] = {
    MODEL: lambda value: bool(plain_name(value)),
    DATA: lambda value: bool(plain_name(value)),
    SET: lambda value: bool(plain_name(value)),
    FOLD: _are_folds,
    FOLD_RUNS: lambda value: all(is_run_id(run) for run in value.split(",")),
    SMOKE_RUN: lambda value: value in ("true", "false"),
    WEIGHT: _is_weight,
    OOF: _is_loss,
}

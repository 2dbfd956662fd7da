"""The members that an ensemble pins: which trainings they are, and whether they still are.

A registered model that is deleted begins again with version 1, so a name and a version number may
come to mean another training. Every reader of an ensemble calls :func:`pinned_members`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mlflow.exceptions import MlflowException

from carvision.contracts import ClassMap, EnsembleSpec, Member, Mixing, Score
from carvision.errors import TrackingError
from carvision.store.client import client
from carvision.store.member_versions import TUNE_AGAIN, MemberVersion, member_of
from carvision.store.server import is_missing


def build_spec(
    classes: ClassMap,
    members: Sequence[MemberVersion],
    *,
    weights: Mapping[tuple[str, str], float],
    temperatures: Sequence[float],
    mixing: Mixing = "arithmetic",
    score: Score | None = None,
) -> EnsembleSpec:
    """Build the specification of an ensemble that pins ``members``.

    ``weights`` are by (member's preset, view); ``temperatures`` holds one for each member.
    """
    return EnsembleSpec(
        members=tuple(
            _pinned(member, weights, temperature)
            for member, temperature in zip(members, temperatures, strict=True)
        ),
        mixing=mixing,
        class_names=classes.names,
        class_folders=classes.folders,
        score=score,
    )


def _pinned(
    member: MemberVersion, weights: Mapping[tuple[str, str], float], temperature: float
) -> Member:
    own = {view: weight for (name, view), weight in weights.items() if name == member.preset}
    return Member(
        preset=member.preset,
        registered_model=member.name,
        version=member.version,
        fold_set=member.fold_set,
        fold_runs=tuple(member.fold_runs),
        weights=own,
        temperatures=dict.fromkeys(own, temperature),
    )


def member_version(name: str, version: int) -> MemberVersion:
    """The version ``version`` of the registered model ``name``, which an ensemble pins.

    Raises:
        TrackingError: it was deleted from the registry, or registered by others.
        MlflowException: the registry cannot be reached.
    """
    try:
        entry = client().get_model_version(name, str(version))
    except MlflowException as error:
        if not is_missing(error):
            raise
        raise TrackingError(
            f"the registry has no {name} version {version}, which the ensemble pins; "
            f"{TUNE_AGAIN} ({error})"
        ) from error
    try:
        return member_of(entry)
    except TrackingError as error:
        raise TrackingError(f"{error}. The ensemble pins it; {TUNE_AGAIN}") from error


def pinned_members(spec: EnsembleSpec, tuned_at: int | None) -> list[MemberVersion]:
    """The versions that an ensemble pins, each checked to be the same training as then.

    ``tuned_at`` is when the ensemble was registered, in milliseconds since 1970, or None if that is
    not known. It serves for specifications of earlier versions, which pin no fold sets.

    Raises:
        TrackingError: a version was deleted, or another one has its number.
    """
    versions = []
    for member in spec.members:
        version = member_version(member.registered_model, member.version)
        changed = _changed(member, version) or _changed_since(spec, version, tuned_at)
        if changed:
            raise TrackingError(
                f"{version.name} version {version.version} is not the one that the ensemble pins: "
                f"{changed}. A model that is deleted and trained again begins with version 1; "
                f"{TUNE_AGAIN}"
            )
        versions.append(version)
    return versions


def _changed(member: Member, version: MemberVersion) -> str:
    if member.preset != version.preset:
        return f"pinned was {member.preset}, this version is {version.preset}"
    if member.fold_set is None:
        return ""
    if member.fold_set != version.fold_set:
        return f"pinned was the fold set {member.fold_set}, this version is of {version.fold_set}"
    if list(member.fold_runs) != version.fold_runs:
        return (
            f"pinned were the fold runs {', '.join(member.fold_runs)}, this version has "
            f"{', '.join(version.fold_runs)}"
        )
    return ""


def _changed_since(spec: EnsembleSpec, version: MemberVersion, tuned_at: int | None) -> str:
    if spec.score is not None and spec.score.data != version.data:
        return f"the ensemble was tuned on data {spec.score.data}, this version on {version.data}"
    registered_at = int(version.entry.creation_timestamp)
    if not spec.pinned and tuned_at is not None and registered_at > tuned_at:
        return (
            f"the ensemble was registered at {_moment(tuned_at)}, this version later, at "
            f"{_moment(registered_at)}"
        )
    return ""


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

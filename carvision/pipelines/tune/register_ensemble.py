"""The last step of ``tune``: register its ensemble, now or when the server is back.

The new version becomes the champion of its data if its nested score is better than the champion's.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import mlflow

from carvision.contracts import (
    EnsembleOof,
    EnsembleSpec,
    read_ensemble_oof,
    read_spec,
    same_ensemble,
)
from carvision.ensembling.comparison import compare_with_champion
from carvision.errors import PredictionsError, TrackingError
from carvision.files import one_at_a_time, read_json, write_json
from carvision.reporting.console import announce
from carvision.store.champions import (
    ENSEMBLE,
    champion_ensemble,
    crown_ensemble,
    data_champion,
    registered_at,
)
from carvision.store.client import client
from carvision.store.ensemble_oof import fetch_ensemble_oof
from carvision.store.pins import pinned_members
from carvision.store.registration import register_ensemble
from carvision.tracking.outbox.record import ABOUT, ARTIFACTS, Record
from carvision.workspace import registration_lock

_SPEC: Final = "ensemble.json"
#: The tag of a run whose ensemble is registered: whether it became the champion.
_CROWNED: Final = "carvision.crowned"
_COMPARISON: Final = "carvision.comparison"


def to_register(record: Record, spec: EnsembleSpec, fingerprint: str) -> None:
    """Keep an ensemble in the record of its ``tune`` run, beside its out-of-fold photos."""
    write_json(record.folder / _SPEC, spec.model_dump(mode="json"))
    record.others["data"] = fingerprint


def finish_delivery(folder: Path) -> None:
    """Register the ensemble in the record ``folder``, if there is one, from the open run; once."""
    if not (folder / _SPEC).exists():
        return
    run = mlflow.active_run()
    assert run is not None  # a record is delivered to an open run
    if _CROWNED in client().get_run(run.info.run_id).data.tags:
        return
    spec, fingerprint = read_spec(folder / _SPEC), read_json(folder / ABOUT)["data"]
    oof = read_ensemble_oof(folder / ARTIFACTS)
    # Of two that end at once, the second is compared with the first.
    with one_at_a_time(registration_lock(ENSEMBLE)):
        register_and_crown(spec, fingerprint, oof)


def register_and_crown(spec: EnsembleSpec, fingerprint: str, oof: EnsembleOof) -> None:
    """Register an ensemble; make it the champion of its data if its nested score is better.

    ``oof`` holds the nested losses of its photos. Champions of other data stay. Nothing is
    registered where the champion is the same ensemble. Tags of the run hold the comparison.
    """
    champion = _champion_of(fingerprint)
    unusable = "" if champion is None else _why_unusable(*champion)
    if champion is not None and same_ensemble(champion[1], spec) and not unusable:
        why = f"the result is carvision-ensemble version {champion[0]}, the champion already"
        _tag(False, why)
        announce(why)
        return
    version = register_ensemble(spec, fingerprint)
    if champion is None:
        crowned, why = True, "it is the first on this data"
    elif unusable:
        crowned = True
        why = f"version {champion[0]}, the champion so far, cannot be used: {unusable}"
    else:
        crowned, why = _compare(spec, oof, *champion)
    _tag(crowned, why)
    if crowned:
        left = crown_ensemble(version)
        announce(f"carvision-ensemble version {version} is the champion: {why}")
        if left:
            announce(left)
    else:
        announce(f"version {version} is registered; the champion stays: {why}")


def _champion_of(fingerprint: str) -> tuple[int, EnsembleSpec] | None:
    """The champion of this data; one that cannot be read is announced and counts as none."""
    general = _readable(champion_ensemble)
    if general is not None and general[1].score and general[1].score.data == fingerprint:
        return general
    return _readable(lambda: data_champion(fingerprint))


def _readable(
    champion: Callable[[], tuple[int, EnsembleSpec] | None],
) -> tuple[int, EnsembleSpec] | None:
    try:
        return champion()
    except TrackingError as error:
        announce(str(error))
        return None


def _why_unusable(version: int, spec: EnsembleSpec) -> str:
    """Why a champion cannot predict any more; empty where it can."""
    tuned_at = registered_at(version)
    if tuned_at is None:
        return ""
    try:
        pinned_members(spec, tuned_at)
    except TrackingError as error:
        return str(error)
    return ""


def _compare(
    spec: EnsembleSpec, oof: EnsembleOof, version: int, champion: EnsembleSpec
) -> tuple[bool, str]:
    """Whether ``spec`` replaces the champion, version ``version`` of the ensemble, and why."""
    name = f"version {version}"
    if not champion.pinned and same_ensemble(champion, spec.without_pins):
        return True, f"it is {name} with the identities of its members added"
    return compare_with_champion(spec.score, oof, name, champion.score, _photos_of(version))


def _photos_of(version: int) -> EnsembleOof | None:
    try:
        return fetch_ensemble_oof(version)
    except PredictionsError as error:
        announce(f"the champion's photos cannot be read, its score is taken as it is: {error}")
        return None


def _tag(crowned: bool, why: str) -> None:
    mlflow.set_tags({_CROWNED: str(crowned).lower(), _COMPARISON: why})

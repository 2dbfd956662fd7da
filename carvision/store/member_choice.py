"""Registered backbones: which ones there are, and which an ensemble mixes."""

import logging
from collections.abc import Sequence

from carvision.config import list_models
from carvision.errors import TrackingError
from carvision.store.client import client
from carvision.store.fold_sets import has_predictions
from carvision.store.member_versions import MemberVersion, member_or_none, registered_name
from carvision.store.model_files import has_bundle
from carvision.store.tags import DATA, SET

log = logging.getLogger(__name__)


def choose_members(fingerprint: str, models: Sequence[str]) -> list[MemberVersion]:
    """Return the best version of each backbone trained on the data ``fingerprint``.

    ``models`` asks for backbones by name. Without it, smoke runs are left out where there are
    whole trainings, and so are backbones that lack a fold that the best one has.

    Raises:
        TrackingError: no backbone was trained on this data, or not one of ``models``.
    """
    best: dict[str, MemberVersion] = {}
    for version in sorted(members_of(fingerprint), key=lambda member: member.rank):
        best.setdefault(version.preset, version)
    missing = [name for name in models if name not in best]
    if missing or not best:
        wanted = ",".join(missing) or "efficientnet_lite0"
        raise TrackingError(
            f"no {' and no '.join(missing) or 'backbone'} was trained on this data "
            f"({fingerprint}); train first: mlflow run . -e train -P model={wanted}"
        )
    if models:
        return [best[name] for name in models]
    chosen = _sharing_photos(list(best.values()))
    _report(chosen, list(best.values()))
    return sorted(chosen, key=lambda member: member.preset)


def _sharing_photos(members: Sequence[MemberVersion]) -> list[MemberVersion]:
    """The best backbone first, then those that predicted all of its photos.

    The best is by log loss, whole trainings before smoke runs; having more folds makes no backbone
    better.
    """
    best = min(members, key=lambda one: (one.smoke_run, one.oof_log_loss, -len(one.folds)))
    others = [
        one
        for one in members
        if one is not best
        and one.smoke_run == best.smoke_run
        and set(one.folds).issuperset(best.folds)
    ]
    return [best, *others]


def _report(chosen: Sequence[MemberVersion], every: Sequence[MemberVersion]) -> None:
    """Say which backbones are left out and why, and which photos the ensemble is limited to."""
    best = chosen[0]
    for member in sorted(every, key=lambda member: member.preset):
        if member not in chosen:
            lacking = ", ".join(str(fold) for fold in best.folds if fold not in member.folds)
            what = f"it lacks fold {lacking}" if lacking else "a smoke run"
            log.info("left out: %s version %s, %s", member.name, member.version, what)
    if any(len(member.folds) > len(best.folds) for member in chosen):
        log.info(
            "%s version %s, the best, has fold %s alone: the ensemble is of the photos of these; "
            "train its other folds to use all",
            best.name,
            best.version,
            ", ".join(map(str, best.folds)),
        )


def find_member(preset: str, set_id: str, fold_runs: list[str]) -> MemberVersion | None:
    """The version that holds exactly these fold runs, with its weights; None without one."""
    filter_string = f"name = '{registered_name(preset)}' and tags.`{SET}` = '{set_id}'"
    for entry in client().search_model_versions(filter_string):
        member = member_or_none(entry)
        if member is not None and member.fold_runs == fold_runs:
            if has_bundle(member.name, member.version):
                return member
            log.warning("the files of %s version %s were removed", member.name, member.version)
    return None


def superseded_by(member: MemberVersion) -> list[int]:
    """The numbers of older versions whose folds are all in ``member``, which has more."""
    filter_string = f"name = '{member.name}' and tags.`{SET}` = '{member.fold_set}'"
    others = map(member_or_none, client().search_model_versions(filter_string))
    return sorted(
        one.version for one in others if one and set(one.fold_runs) < set(member.fold_runs)
    )


def members_of(data: str) -> list[MemberVersion]:
    """The versions of backbones trained on ``data``, the best first.

    Versions that others registered are left out. So are versions that lack files, up to the first
    whole version of each backbone.
    """
    known = {registered_name(preset) for preset in list_models()}
    entries = client().search_model_versions(f"tags.`{DATA}` = '{data}'")
    found = [member_or_none(entry) for entry in entries if entry.name in known]
    whole: set[str] = set()
    members = []
    ours = [member for member in found if member is not None]
    for member in sorted(ours, key=lambda member: member.rank):
        if member.preset in whole or _is_whole(member):
            whole.add(member.preset)
            members.append(member)
    return members


def _is_whole(member: MemberVersion) -> bool:
    """Whether a version has its predictions and weights; a warning says what is missing."""
    gone = [run_id for run_id in member.fold_runs if not has_predictions(run_id)]
    if gone:
        what = f"the predictions of run {', '.join(gone)} were removed"
    elif not has_bundle(member.name, member.version):
        what = "its weights were removed"
    else:
        return True
    passed_over = (member.name, member.version, what)
    log.warning("passed over: %s version %s, %s; train it again to use it", *passed_over)
    return False

"""Which registered backbones an ensemble mixes."""

import logging
from collections.abc import Sequence

from carvision.errors import TrackingError
from carvision.store.registry import members_of
from carvision.store.versions import MemberVersion

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

"""Which registered backbones an ensemble is made of, and their out-of-fold predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from carvision.data.manifest import Manifest
from carvision.ensembling.oof_predictions import MemberOof, OofTable
from carvision.errors import PredictionsError, TrackingError
from carvision.pipelines.entry_point import announce
from carvision.store.fold_sets import fetch_predictions, seconds_per_1000
from carvision.store.registry import MemberVersion, members_of


def choose_members(fingerprint: str, models: Sequence[str]) -> list[MemberVersion]:
    """The best version of each backbone trained on this data.

    Unless they are asked for by name, smoke runs stay out where there are whole ones, and so does
    what lacks a fold that the best backbone has.

    Raises:
        TrackingError: there is none, or not one that was asked for.
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
    folds = chosen[0].folds
    for member in sorted(best.values(), key=lambda member: member.preset):
        if member not in chosen:
            lacking = ", ".join(str(fold) for fold in folds if fold not in member.folds)
            what = f"it lacks fold {lacking}" if lacking else "a smoke run"
            announce(f"left out: {member.name} version {member.version}, {what}")
    if any(len(member.folds) > len(folds) for member in chosen):
        announce(
            f"{chosen[0].name} version {chosen[0].version}, the best, has fold "
            f"{', '.join(map(str, folds))} alone: the ensemble is of the photos of these; train "
            "its other folds to use all"
        )
    return sorted(chosen, key=lambda member: member.preset)


def _sharing_photos(members: Sequence[MemberVersion]) -> list[MemberVersion]:
    """The best backbone, and those that predicted all of its photos, too.

    Whole ones before smoke runs, then by log loss: whoever has more folds is no better for that.
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


def oof_table(manifest: Manifest, members: Sequence[MemberVersion], folder: Path) -> OofTable:
    """The predictions of the photos that all members predicted; they are fetched to ``folder``.

    The photos stand by fold, as they are stored.

    Raises:
        PredictionsError: a member lacks photos of its folds, or no photo is common to all.
    """
    rows = manifest.usable[["image_id", "class_index", "fold", "group"]]
    common = np.ones(len(rows), dtype=bool)
    found = []
    for member in members:
        parts = fetch_predictions(member.fold_runs, folder / member.preset)
        ids = {image_id for part in parts for image_id in part.index["image_id"]}
        has = rows["image_id"].isin(ids).to_numpy()
        lacking = rows[rows["fold"].isin(member.folds) & ~has]
        if len(lacking) and not member.smoke_run:
            raise PredictionsError(
                f"{member.name} version {member.version} lacks {len(lacking)} photos of its "
                f"folds, the first of them {lacking['image_id'].iloc[0]!r}; train it again "
                "(resume=never)"
            )
        common &= has
        cost = seconds_per_1000(member.fold_runs)
        found.append(MemberOof(member.preset, tuple(parts), member.ensemble_weight, cost))
    if not common.any():
        raise PredictionsError(
            "no photo was predicted out of fold by all of "
            f"{[member.preset for member in members]}; train the same folds of each"
        )
    return OofTable.of(rows[common].sort_values("fold", kind="stable"), found)

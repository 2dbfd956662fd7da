"""Out-of-fold predictions of registered backbones -> one table of the photos they share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from carvision.data.manifest import Manifest
from carvision.ensembling.oof_predictions import MemberOof, OofTable
from carvision.errors import PredictionsError
from carvision.store.fold_sets import fetch_predictions, seconds_per_1000
from carvision.store.member_versions import MemberVersion


def fetch_oof_table(manifest: Manifest, members: Sequence[MemberVersion], folder: Path) -> OofTable:
    """Fetch the members' predictions into ``folder``; keep the photos that all of them predicted.

    The photos are sorted by fold, as they are stored.

    Raises:
        PredictionsError: a member lacks photos of its folds, or no photo is common to all.
    """
    rows = manifest.usable[["image_id", "class_index", "fold", "group"]]
    common = np.ones(len(rows), dtype=bool)
    found = []
    for member in members:
        fold_predictions = fetch_predictions(member.fold_runs, folder / member.preset)
        ids = {image_id for one in fold_predictions for image_id in one.index["image_id"]}
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
        found.append(
            MemberOof(member.preset, tuple(fold_predictions), member.ensemble_weight, cost)
        )
    if not common.any():
        raise PredictionsError(
            "no photo was predicted out of fold by all of "
            f"{[member.preset for member in members]}; train the same folds of each"
        )
    return OofTable.of(rows[common].sort_values("fold", kind="stable"), found)

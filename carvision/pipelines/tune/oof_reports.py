"""What a ``tune`` run keeps of the ensemble's out-of-fold photos: for forecasts and for readers."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.contracts import EnsembleOof
from carvision.data.manifest import Manifest
from carvision.ensembling.blend import Scorer
from carvision.ensembling.epoch_selection import selection_optimism
from carvision.ensembling.label_issues import LabelJudgement
from carvision.ensembling.oof_predictions import OofTable
from carvision.files import replacing_output
from carvision.pipelines.tune.methods import Tuning
from carvision.reporting.console import announce
from carvision.reporting.suspicious_labels import (
    CSV,
    PAGE,
    judgement_line,
    write_suspicious_labels,
)
from carvision.store.ensemble_oof import write_oof_artifacts
from carvision.store.fold_sets import fetch_epochs
from carvision.store.prepared import prepared_runs
from carvision.store.runs import DATA
from carvision.store.versions import MemberVersion
from carvision.tracking.outbox.record import log_artifacts, log_metrics, set_tags


@dataclass(frozen=True)
class Fetched:
    """What the reports need of MLflow: fold runs' epochs, and the folder of the photos.

    ``epochs`` are of each fold run, ``[epochs, images]``; None where it is older than these are.
    """

    epochs: Mapping[str, NDArray[np.float32] | None]
    root: Path

    @classmethod
    def of(cls, manifest: Manifest, members: Sequence[MemberVersion], folder: Path) -> Self:
        """Fetched into ``folder``."""
        runs = [run_id for member in members for run_id in member.fold_runs]
        epochs = {run_id: fetch_epochs(run_id, folder / "epochs") for run_id in runs}
        return cls(epochs, _photos_root(manifest.fingerprint))


def log_oof_photos(
    manifest: Manifest,
    members: Sequence[MemberVersion],
    scorer: Scorer,
    tuning: Tuning,
    seed: int,
    fetched: Fetched,
) -> None:
    """Log what a forecast needs, and the photos whose labels are suspicious.

    The latter are written into the working folder, too; an ensemble that is too weak to judge
    labels lists none.
    """
    table, log_p = scorer.table, tuning.held_out
    weights = tuning.contestant.weights
    optimism = _selection_optimism(members, table, weights, seed, fetched.epochs)
    log_metrics({"oof/selection_optimism": optimism})
    folds = {member.preset: member.folds for member in members}
    with log_artifacts() as own:
        set_tags(write_oof_artifacts(own, oof_photos(scorer, tuning, optimism, folds)))
    rows = table.index.merge(manifest.frame[["image_id", "path"]], on="image_id", how="left")
    with log_artifacts() as own:
        found = write_suspicious_labels(own, rows, log_p, manifest.classes.names, fetched.root)
        # Where the command below finds it.
        with replacing_output(Path(CSV)) as temporary:
            shutil.copyfile(own / CSV, temporary)
    _announce_labels(len(found), LabelJudgement.of(log_p, table.targets))


def _announce_labels(found: int, judgement: LabelJudgement) -> None:
    if not found:
        announce("no label is suspicious")
    elif judgement.too_weak:
        announce(
            f"{found:,} labels are contradicted, but {judgement_line(judgement)}. {CSV} lists none "
            f"to exclude; {PAGE} in this run shows the most suspicious photos"
        )
    else:
        announce(
            f"{found:,} labels are suspicious: {Path(CSV).resolve()}, with a page in this run; "
            f"{judgement_line(judgement)}. Look at them, and what you agree with, leave out by "
            f"`mlflow run . -e prepare -P exclude={CSV}`"
        )


def oof_photos(
    scorer: Scorer, tuning: Tuning, optimism: float, folds: Mapping[str, tuple[int, ...]]
) -> EnsembleOof:
    """Each photo's honest loss and class, and how sure the ensemble that is submitted is of it."""
    tuned, index = tuning.contestant, scorer.table.index
    submitted = scorer.log_probabilities(tuned.blend, tuned.weights, np.arange(len(index)))
    honest = tuning.held_out.argmax(axis=1)
    return EnsembleOof.of(index, submitted, -tuned.nested_log_p, optimism, folds, honest)


def _selection_optimism(
    members: Sequence[MemberVersion],
    table: OofTable,
    weights: NDArray[np.float64],
    seed: int,
    epochs_of: Mapping[str, NDArray[np.float32] | None],
) -> float:
    """Over every fold of every used member that kept its epochs; without any, nothing is known."""
    group_of = pd.Series(table.index["group"].to_numpy(), index=table.index["image_id"])
    epochs, groups, shares = [], [], []
    by_member = np.bincount(table.member_of, weights=weights)
    for member, oof, share in zip(members, table.members, by_member.tolist(), strict=True):
        if share == 0:
            continue
        for run_id, part in zip(member.fold_runs, oof.fold_predictions, strict=True):
            found = epochs_of[run_id]
            if found is None:
                announce(f"{member.preset}: run {run_id} is from before epochs were kept")
                continue
            # A smoke run's photos may not be those of the others.
            known = part.index["image_id"].isin(group_of.index).to_numpy()
            epochs.append(found[:, known])
            groups.append(group_of[part.index["image_id"][known]].to_numpy())
            shares.append(share)
    return selection_optimism(epochs, groups, shares, seed) if epochs else 0.0


def _photos_root(fingerprint: str) -> Path:
    """Where the photos were, as far as this store knows; a page without them has no thumbnails."""
    runs = (run for run in prepared_runs() if run.run.data.tags.get(DATA) == fingerprint)
    found = next(runs, None)
    return Path() if found is None else found.root

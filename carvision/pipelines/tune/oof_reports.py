"""What a ``tune`` run logs about out-of-fold photos: inputs of forecasts, suspicious labels."""

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
from carvision.pipelines.tune.methods import TuneResult
from carvision.reporting.console import announce
from carvision.reporting.suspicious_labels import (
    CSV,
    PAGE,
    judgement_line,
    write_suspicious_labels,
)
from carvision.store.ensemble_oof import write_oof_artifacts
from carvision.store.fold_sets import fetch_epochs
from carvision.store.member_versions import MemberVersion
from carvision.store.prepared import prepared_runs
from carvision.store.tags import DATA
from carvision.tracking.outbox.record import log_artifacts, log_metrics, set_tags


@dataclass(frozen=True)
class ReportInputs:
    """What the reports read from MLflow.

    ``epochs`` holds, for each fold run, the true class's log-probability after each epoch,
    ``[epochs, images]``; None for a run that did not keep it yet. ``root`` is the photos' folder.
    """

    epochs: Mapping[str, NDArray[np.float32] | None]
    root: Path

    @classmethod
    def fetched(cls, manifest: Manifest, members: Sequence[MemberVersion], folder: Path) -> Self:
        """Download them; ``folder`` keeps the files."""
        runs = [run_id for member in members for run_id in member.fold_runs]
        epochs = {run_id: fetch_epochs(run_id, folder / "epochs") for run_id in runs}
        return cls(epochs, _photos_root(manifest.fingerprint))


def log_oof_photos(
    manifest: Manifest,
    members: Sequence[MemberVersion],
    scorer: Scorer,
    result: TuneResult,
    seed: int,
    inputs: ReportInputs,
) -> None:
    """Log what a forecast needs, and the photos whose labels are suspicious.

    The list of the latter is also written into the working folder; it is empty for an ensemble
    that is too weak to judge labels.
    """
    table, log_p = scorer.table, result.nested
    weights = result.tuned.weights
    optimism = _selection_optimism(members, table, weights, seed, inputs.epochs)
    log_metrics({"oof/selection_optimism": optimism})
    folds = {member.preset: member.folds for member in members}
    with log_artifacts() as own:
        set_tags(write_oof_artifacts(own, oof_photos(scorer, result, optimism, folds)))
    rows = table.index.merge(manifest.frame[["image_id", "path"]], on="image_id", how="left")
    with log_artifacts() as own:
        found = write_suspicious_labels(own, rows, log_p, manifest.classes.names, inputs.root)
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
            f"{judgement_line(judgement)}. Look at them, keep the rows that you agree with, and "
            f"leave these photos out by `mlflow run . -e prepare -P exclude={CSV}`"
        )


def oof_photos(
    scorer: Scorer, result: TuneResult, optimism: float, folds: Mapping[str, tuple[int, ...]]
) -> EnsembleOof:
    """Each photo's nested loss and class, and the confidence of the ensemble that is submitted."""
    tuned, index = result.tuned, scorer.table.index
    submitted = scorer.log_probabilities(tuned.blend, tuned.weights, np.arange(len(index)))
    predicted = result.nested.argmax(axis=1)
    return EnsembleOof.of(index, submitted, -tuned.nested_log_p, optimism, folds, predicted)


def _selection_optimism(
    members: Sequence[MemberVersion],
    table: OofTable,
    weights: NDArray[np.float64],
    seed: int,
    epochs_of: Mapping[str, NDArray[np.float32] | None],
) -> float:
    """The optimism over all folds of used members that kept their epochs; zero without any."""
    group_of = pd.Series(table.index["group"].to_numpy(), index=table.index["image_id"])
    epochs, groups, shares = [], [], []
    by_member = np.bincount(table.member_of, weights=weights)
    for member, oof, share in zip(members, table.members, by_member.tolist(), strict=True):
        if share == 0:
            continue
        for run_id, fold in zip(member.fold_runs, oof.fold_predictions, strict=True):
            found = epochs_of[run_id]
            if found is None:
                announce(f"{member.preset}: run {run_id} is too old to hold its epochs' losses")
                continue
            # A smoke run may have predicted photos that the other members lack.
            known = fold.index["image_id"].isin(group_of.index).to_numpy()
            epochs.append(found[:, known])
            groups.append(group_of[fold.index["image_id"][known]].to_numpy())
            shares.append(share)
    return selection_optimism(epochs, groups, shares, seed) if epochs else 0.0


def _photos_root(fingerprint: str) -> Path:
    """The photos' folder, or an empty path if the store does not know it: then no thumbnails."""
    runs = (run for run in prepared_runs() if run.run.data.tags.get(DATA) == fingerprint)
    found = next(runs, None)
    return Path() if found is None else found.root

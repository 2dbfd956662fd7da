"""out-of-fold predictions -> a registered ensemble."""

import hashlib
from collections.abc import Sequence

import mlflow
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.config import Config
from carvision.contracts import VIEWS, EnsembleSpec, Member, Score
from carvision.data.manifest import Manifest
from carvision.ensembling import mixture_log_loss, starting_points, tune_weights
from carvision.errors import PredictionsError, TrackingError
from carvision.files import scratch_folder
from carvision.pipelines.prepare import known_manifest
from carvision.pipelines.session import announce, show_address
from carvision.reporting.console import progress
from carvision.reporting.tables import show_oof_scores, show_weights
from carvision.tracking.fold_sets import fetch_true_class
from carvision.tracking.registry import (
    MemberVersion,
    champion_ensemble,
    crown_ensemble,
    members_of,
    register_ensemble,
)
from carvision.tracking.store import DATA, tracked_run

STAGE_TUNE = "tune"
_STORAGE = "sqlite:///optuna.db"


def tune(config: Config, data: str, models: Sequence[str], trials: int) -> EnsembleSpec:
    """The entry point: weigh the registered backbones of ``data`` (or ``models`` of them).

    Raises:
        TrackingError: no backbone was trained on this data.
        PredictionsError: the members share no photo.
    """
    with tracked_run(STAGE_TUNE, "tune") as run:
        manifest = known_manifest(config, data)
        mlflow.set_tag(DATA, manifest.fingerprint)
        members = choose_members(manifest.fingerprint, models)
        spec = _tune(manifest, members, trials, config.seed)
        _register(spec, manifest.fingerprint)
        show_weights(spec)
        show_address(run)
    return spec


def choose_members(fingerprint: str, models: Sequence[str]) -> list[MemberVersion]:
    """The best version of each backbone trained on this data.

    Unless they are asked for by name, trial runs stay out where there are whole ones, and so do
    backbones with fewer folds than another has.

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
    first = min(best.values(), key=lambda member: member.rank)
    chosen = []
    for member in sorted(best.values(), key=lambda member: member.preset):
        if (member.trial_run, len(member.folds)) == (first.trial_run, len(first.folds)):
            chosen.append(member)
        else:
            what = "a trial run" if member.trial_run else f"only {len(member.folds)} folds"
            announce(f"left out: {member.name} version {member.version}, {what}")
    return chosen


def _tune(
    manifest: Manifest, members: Sequence[MemberVersion], trials: int, seed: int
) -> EnsembleSpec:
    index, true_class = _true_class(manifest, members)
    candidates = [(member.preset, view) for member in members for view in VIEWS]
    plan = {member.preset: member.ensemble_weight for member in members}
    rules = starting_points(candidates, plan)
    with progress("tuning", max(trials, len(rules))) as advance:
        tuned = tune_weights(
            true_class,
            candidates,
            rules,
            trials=trials,
            study_name=_study_name(true_class, candidates, seed),
            storage=_STORAGE,
            seed=seed,
            on_trial=lambda best: advance(1, f"tuning, best {best:.4f}"),
        )
    shown = [f"{member.preset} {VIEWS[0]}" for member in members] + ["equal", "plan"]
    scores = {rule: mixture_log_loss(true_class, rules[rule]) for rule in shown}
    show_oof_scores(len(index), [*scores.items(), ("tuned ensemble", tuned.log_loss)])
    mlflow.log_metrics(
        {"oof/log_loss": tuned.log_loss, "trials": float(tuned.trials)}
        | {f"oof/{name.replace(' ', '_')}": value for name, value in scores.items()}
    )
    by_member = tuned.weights.reshape(len(members), len(VIEWS))
    return build_spec(
        manifest,
        members,
        by_member,
        Score(
            log_loss=tuned.log_loss,
            data=manifest.fingerprint,
            folds=tuple(sorted(set(index["fold"].astype(int)))),
            images=len(index),
        ),
    )


def build_spec(
    manifest: Manifest,
    members: Sequence[MemberVersion],
    weights: NDArray[np.floating],
    score: Score | None,
) -> EnsembleSpec:
    """A specification of ``weights`` ``[members, views]``; temperatures are one."""
    return EnsembleSpec(
        members=tuple(
            Member(
                preset=member.preset,
                registered_model=member.name,
                version=member.version,
                weights=dict(zip(VIEWS, row.tolist(), strict=True)),
                temperatures=dict.fromkeys(VIEWS, 1.0),
            )
            for member, row in zip(members, weights, strict=True)
        ),
        mixing="arithmetic",
        class_names=manifest.classes.names,
        class_folders=manifest.classes.folders,
        score=score,
    )


def _true_class(
    manifest: Manifest, members: Sequence[MemberVersion]
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """The photos that all members predicted, and each (member, view)'s probability of the truth.

    The index has a row a photo, in the manifest's order; the matrix is
    ``[images, members x views]``.

    Raises:
        PredictionsError: a member lacks photos of its folds, or no photo is common to all.
    """
    rows = manifest.usable[["image_id", "class_index", "fold"]]
    found = []
    with scratch_folder() as folder:
        for member in members:
            own = fetch_true_class(member.fold_runs, folder / member.preset)
            expected = rows[rows["fold"].isin(member.folds)]
            if not member.trial_run:
                own = own.aligned(expected["image_id"].tolist())
            found.append(own)
    common = rows[
        np.logical_and.reduce([rows["image_id"].isin(own.index["image_id"]) for own in found])
    ].reset_index(drop=True)
    if common.empty:
        raise PredictionsError(
            "no photo was predicted out of fold by all of "
            f"{[member.preset for member in members]}; train the same folds of each"
        )
    columns = []
    for member, own in zip(members, found, strict=True):
        aligned = own.aligned(common["image_id"].tolist())
        if not (aligned.index["class_index"].to_numpy() == common["class_index"].to_numpy()).all():
            raise PredictionsError(f"{member.name} version {member.version}: other classes")
        columns.append(np.exp(aligned.log_probabilities.astype(np.float64)).T)
    return common, np.hstack(columns)


def _study_name(
    true_class: NDArray[np.float64], candidates: Sequence[tuple[str, str]], seed: int
) -> str:
    """Names the problem by its content: version numbers begin again in another store."""
    digest = hashlib.sha256(repr((candidates, seed)).encode())
    digest.update(np.ascontiguousarray(true_class).tobytes())
    return f"weights-{digest.hexdigest()[:16]}"


def _register(spec: EnsembleSpec, fingerprint: str) -> None:
    """Register an ensemble; the champion is kept where it is as good on the same photos."""
    held = champion_ensemble()
    if held is not None and held[1] == spec:
        announce(f"the result is carvision-ensemble version {held[0]}, the champion already")
        return
    version = register_ensemble(spec, fingerprint)
    reason = None if held is None else _reason_to_keep(held[1].score, spec.score)
    if held is not None and reason is not None:
        announce(f"version {version} is registered; version {held[0]} stays the champion: {reason}")
        mlflow.set_tag("carvision.crowned", "false")
        return
    if held is not None and not _same_data(held[1].score, spec.score):
        announce(f"version {held[0]}, the champion so far, is of other data, and is replaced")
    crown_ensemble(version)
    mlflow.set_tag("carvision.crowned", "true")
    announce(f"carvision-ensemble version {version} is the champion")


def _reason_to_keep(held: Score | None, new: Score | None) -> str | None:
    """Why the champion stays, or None where the new ensemble takes its place."""
    if held is None or new is None or not _same_data(held, new):
        return None
    if (held.images, held.folds) != (new.images, new.folds):
        if held.images < new.images:
            return None
        return f"it was tuned on {held.images:,} photos of this data, not on {new.images:,}"
    if held.log_loss <= new.log_loss:
        return f"it scored {held.log_loss:.4f} on the same photos, not {new.log_loss:.4f}"
    return None


def _same_data(held: Score | None, new: Score | None) -> bool:
    return held is not None and new is not None and held.data == new.data

"""The ensemble in use: which it is on some data, and when a new one takes its place."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import mlflow

from carvision.config import RunSettings, path_text
from carvision.contracts import EnsembleOof, EnsembleSpec, Score, nfc, same_ensemble
from carvision.data.folder.layout import Layout
from carvision.data.manifest import Manifest
from carvision.data.submission import Template
from carvision.errors import DataError, PredictionsError, TrackingError
from carvision.pipelines.entry_point import announce
from carvision.pipelines.prepare.step import find_layout
from carvision.store.champions import data_champion, other_champions, registered_at
from carvision.store.ensemble_oof import fetch_ensemble_oof
from carvision.store.pins import pinned_members
from carvision.store.prepared import PreparedRun, prepared_runs
from carvision.store.registry import champion_ensemble, crown_ensemble, register_ensemble

#: A version of the ensemble and what it is made of.
Champion = tuple[int, EnsembleSpec]


def champion_for(settings: RunSettings, data: str, beside: Layout) -> Champion | None:
    """The ensemble to predict with: the champion of ``data``, or else one of the same classes.

    ``beside`` is where the test photos lie, with a template perhaps. None where there is no
    ensemble at all.

    Raises:
        TrackingError: the champion cannot be used, and no other is of these classes.
    """
    prepared = _prepared_run(settings, data)
    chosen = _own_or_alike(prepared, beside)
    if chosen is not None:
        _announce_chosen(*chosen, prepared)
    return chosen


def _own_or_alike(prepared: PreparedRun | None, beside: Layout) -> Champion | None:
    refused: TrackingError | None = None
    general = None
    try:
        general = champion_ensemble()
    except TrackingError as error:
        refused = error
    if prepared is not None:
        own = general if _is_of(general, prepared.data) else data_champion(prepared.data)
        if own is not None:
            if refused is not None:
                announce(str(refused))
            return own
    # Where its files were removed, the template's columns tell the classes.
    manifest = None if prepared is None else prepared.manifest_or_none()
    alike = [one for one in [general, *other_champions()] if one and _fits(one, manifest, beside)]
    if not alike and refused is not None:
        raise refused
    return alike[0] if alike else general


def _prepared_run(settings: RunSettings, data: str) -> PreparedRun | None:
    """The run that prepared ``data`` last, with the folds and classes asked for if one did."""
    runs = prepared_runs()
    if data != "latest":
        try:
            root = find_layout(data).root
        # Where the test photos lie elsewhere, the data may be on another machine.
        except DataError:
            root = Path(path_text(data)).absolute()
        runs = [run for run in runs if run.root == root]
    asked = [run for run in runs if settings.data.split(run.split) == run.split]
    return next(iter(asked or runs), None)


def _fits(champion: Champion, manifest: Manifest | None, beside: Layout) -> bool:
    """Whether an ensemble predicts the classes of the prepared data, or of the template."""
    classes = champion[1].classes
    if manifest is not None:
        return manifest.classes == classes
    if beside.template is None:
        return False
    columns = {nfc(column) for column in Template.read(beside.template).columns}
    return columns == {folder for group in classes.folders for folder in group}


def _announce_chosen(version: int, spec: EnsembleSpec, prepared: PreparedRun | None) -> None:
    tuned_on = spec.score.data if spec.score else "unknown"
    which = f"carvision-ensemble version {version}"
    if prepared is None or tuned_on == prepared.data:
        announce(f"using {which}, the champion, tuned on {tuned_on}")
    else:
        announce(
            f"no ensemble was tuned on this data ({prepared.data}): using {which}, tuned on "
            f"{tuned_on}; better tune on this data first: mlflow run . -e tune"
        )


#: The tag of a run whose ensemble is registered: whether it became the champion.
CROWNED: Final = "carvision.crowned"


def register_and_crown(spec: EnsembleSpec, fingerprint: str, oof: EnsembleOof) -> None:
    """Register an ensemble; it takes the place of its data's champion by a better nested score.

    ``oof`` holds its photos' nested losses. The champions of other data stay. Tags of the run hold
    the comparison.
    """
    held = _held(fingerprint)
    unusable = _why_unusable(held)
    if held is not None and same_ensemble(held[1], spec) and not unusable:
        why = f"the result is carvision-ensemble version {held[0]}, the champion already"
        _tag(False, why)
        announce(why)
        return
    version = register_ensemble(spec, fingerprint)
    crowned, why = (True, "it is the first on this data")
    if held is not None:
        name = f"version {held[0]}"
        if unusable:
            why = f"{name}, the champion so far, cannot be used: {unusable}"
        elif not held[1].pinned and same_ensemble(held[1], spec.without_pins):
            why = f"it is {name}, and tells in addition who its members are"
        else:
            photos = _photos_of(held[0])
            crowned, why = _verdict(name, (held[1].score, photos), (spec.score, oof))
    _tag(crowned, why)
    if crowned:
        left = crown_ensemble(version)
        announce(f"carvision-ensemble version {version} is the champion: {why}")
        if left:
            announce(left)
    else:
        announce(f"version {version} is registered; the champion stays: {why}")


def _held(fingerprint: str) -> Champion | None:
    """The champion of this data; one that cannot be read counts as none, and is said."""
    general = _readable(champion_ensemble)
    if _is_of(general, fingerprint):
        return general
    return _readable(lambda: data_champion(fingerprint))


def _readable(champion: Callable[[], Champion | None]) -> Champion | None:
    try:
        return champion()
    except TrackingError as error:
        announce(str(error))
        return None


def _is_of(champion: Champion | None, fingerprint: str) -> bool:
    return champion is not None and (
        champion[1].score is not None and champion[1].score.data == fingerprint
    )


def _why_unusable(champion: Champion | None) -> str:
    """Why a champion cannot predict any more; empty where it can."""
    tuned_at = registered_at(champion[0]) if champion else None
    if champion is None or tuned_at is None:
        return ""
    try:
        pinned_members(champion[1], tuned_at)
    except TrackingError as error:
        return str(error)
    return ""


def _tag(crowned: bool, why: str) -> None:
    mlflow.set_tags({CROWNED: str(crowned).lower(), "carvision.comparison": why})


def _photos_of(version: int) -> EnsembleOof | None:
    try:
        return fetch_ensemble_oof(version)
    except PredictionsError as error:
        announce(f"the champion's photos cannot be read, its score is taken as it is: {error}")
        return None


def _verdict(
    name: str, held: tuple[Score | None, EnsembleOof | None], new: tuple[Score | None, EnsembleOof]
) -> tuple[bool, str]:
    """Whether the new ensemble is better than ``held``, the champion ``name``, and why.

    Nested losses are compared on the photos that both were tuned on: more photos are no better
    score. A champion from before these were kept has its scores alone.
    """
    (old_score, old_oof), (score, oof) = held, new
    if old_score is None or score is None or old_score.data != score.data:
        return True, f"{name}, the champion so far, is of other data"
    if old_oof is not None:
        both = oof.photos.merge(old_oof.photos, on="image_id", suffixes=("", "_old"))
        if both.empty:
            return False, f"{name} was tuned on none of this one's photos: nothing compares them"
        return _better(
            f"nested log loss on {len(both):,} photos",
            float(both["log_loss"].mean()),
            float(both["log_loss_old"].mean()),
            name,
        )
    photos = "" if old_score.images == score.images else f" (of {old_score.images:,} photos)"
    if old_score.nested is None or score.nested is None:
        # Like with like: a fitted score flatters.
        return _better("fitted log loss", score.log_loss, old_score.log_loss, name + photos)
    return _better("nested log loss", score.nested, old_score.nested, name + photos)


def _better(what: str, new: float, old: float, name: str) -> tuple[bool, str]:
    return new < old, f"{what} {new:.4f}, {name} has {old:.4f}"

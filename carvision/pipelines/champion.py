"""The ensemble in use: when a new one takes its place."""

import mlflow

from carvision.contracts import EnsembleOof, EnsembleSpec, Score
from carvision.errors import PredictionsError
from carvision.pipelines.session import announce
from carvision.tracking.ensemble_oof import fetch_ensemble_oof
from carvision.tracking.registry import champion_ensemble, crown_ensemble, register_ensemble


def register_and_crown(spec: EnsembleSpec, fingerprint: str, oof: EnsembleOof) -> None:
    """Register an ensemble; it takes the champion's place by a better nested score.

    ``oof`` holds its photos' nested losses. On other data it always takes the place. Tags of the
    run hold the comparison.
    """
    held = champion_ensemble()
    if held is not None and held[1] == spec:
        why = f"the result is carvision-ensemble version {held[0]}, the champion already"
        _tag(False, why)
        announce(why)
        return
    version = register_ensemble(spec, fingerprint)
    crowned, why = (True, "it is the first")
    if held is not None:
        photos = _photos_of(held[0])
        crowned, why = _verdict(f"version {held[0]}", (held[1].score, photos), (spec.score, oof))
    _tag(crowned, why)
    if crowned:
        crown_ensemble(version)
        announce(f"carvision-ensemble version {version} is the champion: {why}")
    else:
        announce(f"version {version} is registered; the champion stays: {why}")


def _tag(crowned: bool, why: str) -> None:
    mlflow.set_tags({"carvision.crowned": str(crowned).lower(), "carvision.comparison": why})


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

"""The ensemble in use: when a new one takes its place."""

import mlflow

from carvision.contracts import EnsembleSpec, Score
from carvision.pipelines.session import announce
from carvision.tracking.registry import champion_ensemble, crown_ensemble, register_ensemble


def register_and_crown(spec: EnsembleSpec, fingerprint: str) -> None:
    """Register an ensemble; it takes the champion's place by a better nested score.

    On other data it always does. Tags of the run hold the comparison.
    """
    held = champion_ensemble()
    if held is not None and held[1] == spec:
        announce(f"the result is carvision-ensemble version {held[0]}, the champion already")
        return
    version = register_ensemble(spec, fingerprint)
    crowned, why = (True, "it is the first") if held is None else _verdict(*held, spec.score)
    mlflow.set_tags({"carvision.crowned": str(crowned).lower(), "carvision.comparison": why})
    if crowned:
        crown_ensemble(version)
        announce(f"carvision-ensemble version {version} is the champion: {why}")
    else:
        announce(f"version {version} is registered; the champion stays: {why}")


def _verdict(version: int, held: EnsembleSpec, new: Score | None) -> tuple[bool, str]:
    """Whether the new ensemble is the better one, and why."""
    old, name = held.score, f"version {version}"
    if old is None or new is None or old.data != new.data:
        return True, f"{name}, the champion so far, is of other data"
    if (old.images, old.folds) != (new.images, new.folds):
        if old.images < new.images:
            return True, f"{name} was tuned on {old.images:,} photos of this data only"
        return False, f"{name} was tuned on {old.images:,} photos, this one on {new.images:,}"
    if old.nested is None or new.nested is None:
        return True, f"{name} has a fitted score only, from before nested ones"
    comparison = f"nested log loss {new.nested:.4f}, {name} has {old.nested:.4f}"
    return new.nested < old.nested, comparison

"""An ensemble in the words of its contract."""

from collections.abc import Mapping, Sequence

from carvision.contracts import EnsembleSpec, Member, Score
from carvision.data.manifest import Manifest
from carvision.ensembling.blend import Mixing
from carvision.store.registry import MemberVersion


def build_spec(
    manifest: Manifest,
    members: Sequence[MemberVersion],
    *,
    weights: Mapping[tuple[str, str], float],
    temperatures: Sequence[float],
    mixing: Mixing = "arithmetic",
    score: Score | None = None,
) -> EnsembleSpec:
    """A specification of ``weights`` by (member, view); ``temperatures`` is one for each member."""
    return EnsembleSpec(
        members=tuple(
            _member(member, weights, temperature)
            for member, temperature in zip(members, temperatures, strict=True)
        ),
        mixing=mixing,
        class_names=manifest.classes.names,
        class_folders=manifest.classes.folders,
        score=score,
    )


def _member(
    member: MemberVersion, weights: Mapping[tuple[str, str], float], temperature: float
) -> Member:
    own = {view: weight for (name, view), weight in weights.items() if name == member.preset}
    return Member(
        preset=member.preset,
        registered_model=member.name,
        version=member.version,
        fold_set=member.fold_set,
        fold_runs=tuple(member.fold_runs),
        weights=own,
        temperatures=dict.fromkeys(own, temperature),
    )

"""``ensemble.json``: the members of an ensemble, their weights, and the score it was chosen by.

It is read from a registry, to which others may write, so every value that becomes the name of a
folder, a model or a run is checked.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from carvision.contracts.classes import ClassMap, checked_classes
from carvision.contracts.names import Ordinal, PlainName, RunId
from carvision.contracts.tta_view_names import VIEWS
from carvision.errors import PredictionsError, TrackingError
from carvision.files import read_json

#: The mean of probabilities, or of log-probabilities.
Mixing = Literal["arithmetic", "geometric"]

#: In bytes, a thousand times the size for the competition.
_LARGEST: Final = 64 * 2**20
#: Colder temperatures turn log-probabilities into infinities.
_COLDEST: Final = 1e-6


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Member(_Frozen):
    """A registered model at a pinned version, with a weight and a temperature for each view.

    ``fold_set`` and ``fold_runs`` identify the version that was pinned, as version numbers begin
    again after a registered model is deleted. Specifications of earlier versions lack them.
    """

    preset: PlainName
    registered_model: PlainName
    version: Ordinal
    fold_set: PlainName | None = None
    fold_runs: tuple[RunId, ...] = ()
    weights: dict[str, Annotated[float, Field(ge=0)]]
    temperatures: dict[str, Annotated[float, Field(gt=0, le=1e6)]]

    @model_validator(mode="after")
    def _known_views(self) -> Self:
        unknown = sorted(set(self.weights) - set(VIEWS))
        if unknown:
            raise ValueError(f"unknown views {unknown}; known: {list(VIEWS)}")
        if set(self.temperatures) != set(self.weights):
            raise ValueError("weights and temperatures name different views")
        if any(temperature < _COLDEST for temperature in self.temperatures.values()):
            raise ValueError(f"a temperature is below {_COLDEST}")
        return self

    @property
    def active_views(self) -> tuple[str, ...]:
        """Views with a weight above zero, in the order of ``VIEWS``."""
        return tuple(view for view in VIEWS if self.weights.get(view, 0.0) > 0)

    @property
    def active_weights(self) -> tuple[float, ...]:
        """The weight of each active view, in the order of ``VIEWS``."""
        return tuple(self.weights[view] for view in self.active_views)

    @property
    def active_temperatures(self) -> dict[str, float]:
        """The temperature of each active view, in the order of ``VIEWS``."""
        return {view: self.temperatures[view] for view in self.active_views}


class Score(_Frozen):
    """Out-of-fold log losses in nats, and the photos they were computed on.

    ``log_loss`` is fitted to these photos, and so too low. ``nested`` is of photos that neither
    weights nor search had seen, with its 90 % confidence interval from ``low`` to ``high``; all
    three are None in specifications of earlier versions.
    """

    log_loss: float
    nested: float | None = None
    low: float | None = None
    high: float | None = None
    data: PlainName
    folds: tuple[Ordinal, ...]
    images: Annotated[int, Field(ge=0)]


class EnsembleSpec(_Frozen):
    """An ensemble: members whose weights over all views sum to one, and how they are mixed."""

    members: tuple[Member, ...] = Field(min_length=1)
    mixing: Mixing
    class_names: tuple[str, ...]
    class_folders: tuple[tuple[str, ...], ...]
    score: Score | None

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = sum(weight for member in self.members for weight in member.weights.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the weights sum to {total}, not to 1")
        return self

    @model_validator(mode="after")
    def _possible_classes(self) -> Self:
        checked_classes(self.class_names, self.class_folders)
        return self

    @property
    def active_weights(self) -> list[tuple[float, ...]]:
        """The weights of each member's active views."""
        return [member.active_weights for member in self.members]

    @property
    def pinned(self) -> bool:
        """Whether every member's identity is known; earlier versions did not keep it."""
        return all(member.fold_set is not None for member in self.members)

    @property
    def without_pins(self) -> "EnsembleSpec":
        """The same mixture without the members' identities, as earlier versions described it."""
        none = {"fold_set": None, "fold_runs": ()}
        members = tuple(member.model_copy(update=none) for member in self.members)
        return self.model_copy(update={"members": members})

    @property
    def classes(self) -> ClassMap:
        """The merged classes, in the order of the predictions' columns."""
        return ClassMap(self.class_names, self.class_folders)

    def with_views(self, views: tuple[str, ...]) -> "EnsembleSpec":
        """Keep ``views`` only, and scale their weights to sum to one again.

        Raises:
            PredictionsError: no weight is left.
        """
        kept = [
            {view: w for view, w in member.weights.items() if view in views and w > 0}
            for member in self.members
        ]
        total = sum(weight for weights in kept for weight in weights.values())
        if total <= 0:
            raise PredictionsError(f"the ensemble gives no weight to the views {list(views)}")
        members = tuple(
            member.model_copy(
                update={
                    "weights": {view: weight / total for view, weight in weights.items()},
                    "temperatures": {view: member.temperatures[view] for view in weights},
                }
            )
            for member, weights in zip(self.members, kept, strict=True)
            if weights
        )
        return self.model_copy(update={"members": members})


def read_spec(path: Path) -> EnsembleSpec:
    """Read ``ensemble.json``.

    Raises:
        TrackingError: it is missing, damaged, or no specification of an ensemble.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST:,} bytes")
        spec = EnsembleSpec.model_validate(read_json(path))
        # Each member's predictions lie in a folder of its name; some disks ignore the case.
        if len({member.preset.casefold() for member in spec.members}) < len(spec.members):
            raise ValueError("two members have the same name")
        return spec
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part)[:100] for part in first["loc"])
        raise TrackingError(
            f"{path.name} describes no ensemble: {f'{where}: ' if where else ''}{first['msg']}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise TrackingError(f"{path.name} cannot be read: {error}") from error

"""``ensemble.json``: what an ensemble is made of, and by which score it was chosen."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carvision.contracts.classes import ClassMap
from carvision.contracts.views import VIEWS
from carvision.errors import PredictionsError


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Member(_Frozen):
    """A registered model at a pinned version, with a weight and a temperature for each view."""

    preset: str
    registered_model: str
    version: int
    weights: dict[str, Annotated[float, Field(ge=0)]]
    temperatures: dict[str, Annotated[float, Field(gt=0)]]

    @model_validator(mode="after")
    def _known_views(self) -> Self:
        unknown = sorted(set(self.weights) - set(VIEWS))
        if unknown:
            raise ValueError(f"unknown views {unknown}; known: {list(VIEWS)}")
        if set(self.temperatures) != set(self.weights):
            raise ValueError("weights and temperatures name different views")
        return self

    @property
    def active_views(self) -> tuple[str, ...]:
        """Views with a weight above zero, in the order of ``VIEWS``."""
        return tuple(view for view in VIEWS if self.weights.get(view, 0.0) > 0)

    @property
    def active_temperatures(self) -> dict[str, float]:
        """The temperature of each active view, in the order of ``VIEWS``."""
        return {view: self.temperatures[view] for view in self.active_views}


class Score(_Frozen):
    """Out-of-fold log losses in nats, and the photos they were computed on.

    ``log_loss`` is the fitted one, which flatters itself. ``nested`` is the honest one, of photos
    that neither weights nor search had seen, between ``low`` and ``high`` with 90 % confidence;
    None in versions from before it was computed.
    """

    log_loss: float
    nested: float | None = None
    low: float | None = None
    high: float | None = None
    data: str
    folds: tuple[int, ...]
    images: int


class EnsembleSpec(_Frozen):
    """Members whose weights over all views sum to one.

    ``mixing`` is of probabilities (arithmetic) or of log-probabilities (geometric).
    """

    members: tuple[Member, ...] = Field(min_length=1)
    mixing: Literal["arithmetic", "geometric"]
    class_names: tuple[str, ...]
    class_folders: tuple[tuple[str, ...], ...]
    score: Score | None

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = sum(weight for member in self.members for weight in member.weights.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the weights sum to {total}, not to 1")
        return self

    @property
    def classes(self) -> ClassMap:
        """The merged classes, in the order of the predictions' columns."""
        return ClassMap(self.class_names, self.class_folders)

    def with_views(self, views: tuple[str, ...]) -> "EnsembleSpec":
        """Only ``views``, their weights scaled to sum to one again.

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

"""The settings of a run, whatever it does: data, device, precision, loading, prediction, tracking.

Values live in ``base.yaml``, not here: a field without a value is an error, so that nothing has two
defaults. (:class:`SplitSettings` has defaults, which count only when data is prepared for the first
time.)
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from carvision.config.section import Count, OffIsFalse, Pixels, Section, Seed


class SplitSettings(Section):
    """How a manifest divides its photos: folds, and the classes that count as one.

    The defaults are for data that is prepared for the first time.
    """

    folds: Annotated[int, Field(ge=2, le=100)] = 5
    split_seed: Seed = 0
    same_classes: tuple[tuple[str, ...], ...] = ()

    @model_validator(mode="after")
    def _each_class_once(self) -> Self:
        names = [name for group in self.same_classes for name in group]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"same_classes names {repeated} more than once")
        if any(len(group) < 2 for group in self.same_classes):
            raise ValueError("same_classes: a group needs at least two classes")
        return self


class DataConfig(Section):
    """The user's wishes for the split (None keeps what was prepared), and the cache of photos.

    ``cache`` is the side of a cached photo in pixels; ``auto`` chooses it, False writes no cache.
    """

    folds: Annotated[int, Field(ge=2, le=100)] | None
    split_seed: Seed | None
    same_classes: tuple[tuple[str, ...], ...] | None
    cache: Annotated[Literal["auto", False] | Annotated[Pixels, Field(multiple_of=2)], OffIsFalse]

    def split(self, prepared: SplitSettings | None = None) -> SplitSettings:
        """The split asked for; what the user left open comes from ``prepared`` or the defaults."""
        given = self.model_dump(exclude={"cache"}, exclude_none=True)
        return SplitSettings.model_validate((prepared or SplitSettings()).model_dump() | given)

    @model_validator(mode="after")
    def _valid_split(self) -> Self:
        self.split()
        return self


class LoaderConfig(Section):
    """The processes that decode photos; None chooses by device."""

    workers: Annotated[int, Field(ge=0)] | None = None
    pin_memory: bool | None = None
    persistent_workers: bool | None = None
    start_method: Literal["fork", "spawn", "forkserver"] | None = None
    prefetch: Count | None = None


class InferenceConfig(Section):
    """Prediction of validation photos and of test photos."""

    batch_size: Count


class TrackingConfig(Section):
    """Trackers beside MLflow, TensorBoard and the event log."""

    wandb: Annotated[Literal["online", "offline", False], OffIsFalse]


class RunSettings(Section):
    """What a run needs, whether or not it trains a backbone."""

    seed: Seed
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    data: DataConfig
    loader: LoaderConfig
    inference: InferenceConfig
    tracking: TrackingConfig

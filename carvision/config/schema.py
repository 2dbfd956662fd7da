"""The settings of a backbone: those of its run, its network, its training and its augmentation.

One frozen pydantic model a section. Values live in the YAML files beside this module, not here: a
field without a value is an error, so that nothing has two defaults.
"""

from collections.abc import Iterable
from math import sqrt
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from carvision.config.augmentation import AugmentationConfig
from carvision.config.run_settings import RunSettings
from carvision.config.section import (
    BatchSize,
    Count,
    NotNegative,
    Pixels,
    Positive,
    Section,
    Share,
    UserFile,
)
from carvision.errors import ConfigError

#: The order of sections in ``base.yaml``, kept when a configuration is stored: pydantic alone would
#: put the fields of the base class first.
_PLACES = {"name": 0, "recipe": 0, "loader": 2, "inference": 2, "tracking": 2}
#: Sides of cached photos: few, so that backbones share them.
CACHE_SIDES = (128, 256, 384, 512, 640, 832, 1024)


class ModelConfig(Section):
    """A backbone: its name in timm, the size at which it is evaluated, and its weights."""

    timm_name: str
    image_size: Pixels
    fixed_size: bool
    pretrained: bool
    weights: UserFile | None
    starter: str | None
    ensemble_weight: Positive
    drop_rate: Annotated[float, Field(ge=0, lt=1)]
    drop_path_rate: Annotated[float, Field(ge=0, lt=1)]
    pool: Literal["default", "gem"]
    gem_p: Annotated[float, Field(ge=1)]
    gem_learnable: bool
    grad_checkpointing: bool


class TrainConfig(Section):
    """Length, batch size and image size of a fold's training, and its checkpoints.

    ``batch_size`` may be ``auto``: the largest that fits, found before training begins.
    """

    epochs: Count
    max_steps: Count | None
    batch_size: BatchSize
    accumulation: Count
    image_size: Pixels | None
    grad_clip: Positive | None
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None
    head_first_epochs: Annotated[int, Field(ge=0)]
    early_stopping: Count | None
    checkpoint_minutes: NotNegative

    @property
    def known_batch_size(self) -> int:
        """The batch size, which must be a number.

        Raises:
            ConfigError: it is ``auto``, which only a fold's training resolves.
        """
        if self.batch_size == "auto":
            raise ConfigError("train.batch_size=auto: expected a number here")
        return self.batch_size

    @property
    def pairs_photos(self) -> bool:
        """Whether a batch has an even size; ``auto`` finds powers of two above one."""
        return self.batch_size == "auto" or self.batch_size % 2 == 0


class OptimizerConfig(Section):
    """The optimiser; ``lr`` is the peak of the schedule."""

    name: Literal["adamw", "sgd"]
    lr: Positive
    head_lr_factor: Positive
    layer_decay: Annotated[float, Field(gt=0, le=1)]
    weight_decay: NotNegative
    momentum: Annotated[float, Field(ge=0, lt=1)]


class ScheduleConfig(Section):
    """The learning rate over time."""

    name: Literal["cosine", "cosine_restarts"]
    warmup_epochs: NotNegative
    t_0: Count
    t_mult: Count
    eta_min: NotNegative


class LossConfig(Section):
    """The training loss."""

    name: Literal["cross_entropy", "focal", "bi_tempered"]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    focal_gamma: NotNegative
    t1: Annotated[float, Field(ge=0, le=1)]
    t2: Annotated[float, Field(ge=1, le=4)]


class MixingConfig(Section):
    """The share of batches whose photos are mixed in pairs, and the alphas of MixUp and CutMix."""

    p: Share
    mixup_alpha: NotNegative
    cutmix_alpha: NotNegative

    @property
    def active(self) -> bool:
        """Whether any batch is mixed."""
        return self.p > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)


class Config(RunSettings):
    """One backbone's resolved configuration."""

    name: str
    recipe: str
    model: ModelConfig
    train: TrainConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    loss: LossConfig
    mixing: MixingConfig
    augmentation: AugmentationConfig

    @model_serializer(mode="wrap")
    def _in_order_of_base_yaml(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = serialize(self)
        return {key: values[key] for key in in_file_order(values)}

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        size = self.train.image_size
        if self.model.fixed_size and size not in (None, self.model.image_size):
            raise ValueError(
                f"train.image_size: {self.name} trains at the size it is evaluated at, "
                f"model.image_size={self.model.image_size}; got {size}"
            )
        if self.schedule.eta_min > self.optimizer.lr:
            raise ValueError("schedule.eta_min is above optimizer.lr")
        if self.train.head_first_epochs >= self.train.epochs:
            raise ValueError("train.head_first_epochs leaves no epoch for the rest of the network")
        if self.mixing.active and not self.train.pairs_photos:
            raise ValueError("train.batch_size: mixing pairs photos, and needs an even number")
        return self

    @property
    def train_image_size(self) -> int:
        """Side of a training image in pixels.

        Smaller than at evaluation, since random crops magnify (Touvron et al., arXiv 1906.06423).
        """
        if self.train.image_size is not None:
            return self.train.image_size
        if self.model.fixed_size:
            return self.model.image_size
        return max(32, round(0.8 * self.model.image_size / 32) * 32)

    @property
    def cache_side(self) -> int | None:
        """Side in pixels of the cached photos to train from; None reads the files.

        A cached photo is large enough for the smallest crop to have nearly as many pixels as a
        training image: a cache must not blur what training sees.
        """
        augmentation = self.augmentation
        smallest = sqrt(augmentation.crop_scale[0])
        if augmentation.part_crop.p:
            smallest = min(smallest, augmentation.part_crop.share[0])
        # A tenth less makes no visible difference, and lets more backbones share a cache.
        needed = 0.9 * self.train_image_size / smallest
        if self.data.cache == "auto":
            # A smoke run is over before a cache is written.
            sides = CACHE_SIDES if self.train.max_steps is None else ()
            return next((side for side in sides if side >= needed), None)
        return self.data.cache if self.data.cache and self.data.cache >= needed else None

    def with_batch_size(self, size: int) -> Self:
        """This configuration with another batch size."""
        train = self.train.model_copy(update={"batch_size": size})
        return self.model_copy(update={"train": train})

    def result_settings(self) -> dict[str, Any]:
        """Every setting that changes the result of a training: no device, workers or paths.

        The data changes it, too, and so does a cache, which depends on the data: the caller adds
        both.
        """
        settings = self.model_dump(mode="json")
        for key in ("device", "data", "loader", "inference", "tracking"):
            del settings[key]
        # The weight in the plan's ensemble does not change the training.
        del settings["model"]["ensemble_weight"]
        # A file's path belongs to one machine; the caller adds its content.
        settings["model"]["weights"] = None
        # Checkpoints do not change the result. (Recomputing activations does: batch norm then
        # counts each batch twice.)
        del settings["train"]["checkpoint_minutes"]
        settings["train"]["image_size"] = self.train_image_size
        return settings


def in_file_order(keys: Iterable[str]) -> list[str]:
    """Settings of the top level in the order of ``base.yaml``."""
    return sorted(keys, key=lambda key: _PLACES.get(key, 1))

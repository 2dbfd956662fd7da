"""The shape of a configuration: frozen pydantic models, one a section.

Values live in the YAML files beside this module, not here: a field without a value is an error, so
that nothing has two defaults. (How data is split has its defaults here: they count only once, when
it is prepared first.)
"""

from math import sqrt
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Number = TypeVar("Number", int, float)
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
#: Every backbone halves the image five times; below 32 px nothing is left of it.
Pixels = Annotated[int, Field(ge=32, le=4096)]

#: Sides of cached photos: few, so that backbones share them.
CACHE_SIDES = (128, 256, 384, 512, 640, 832, 1024)


def _ordered(ends: tuple[Number, Number]) -> tuple[Number, Number]:
    if ends[0] > ends[1]:
        raise ValueError(f"the smaller end comes first; got {list(ends)}")
    return ends


#: The two ends between which a value is drawn.
Range = Annotated[tuple[Number, Number], AfterValidator(_ordered)]


class Section(BaseModel):
    """A frozen part of the configuration that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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
    """What the user says of the split (None leaves it as it is), and the cache of photos.

    ``cache`` is the side in pixels of a cached photo; ``auto`` chooses it, False has no cache.
    """

    folds: Annotated[int, Field(ge=2, le=100)] | None
    split_seed: Seed | None
    same_classes: tuple[tuple[str, ...], ...] | None
    cache: Literal["auto", False] | Annotated[Pixels, Field(multiple_of=2)]

    def split(self, prepared: SplitSettings | None = None) -> SplitSettings:
        """The settings given here, completed from ``prepared`` or the defaults."""
        given = self.model_dump(exclude={"cache"}, exclude_none=True)
        return SplitSettings.model_validate((prepared or SplitSettings()).model_dump() | given)

    @model_validator(mode="after")
    def _valid_split(self) -> Self:
        self.split()
        return self


class ModelConfig(Section):
    """A backbone: timm's name, the size it is evaluated at, and where its weights come from."""

    timm_name: str
    image_size: Pixels
    fixed_size: bool
    pretrained: bool
    weights: Path | None
    starter: str | None
    ensemble_weight: Positive
    drop_rate: Annotated[float, Field(ge=0, lt=1)]
    drop_path_rate: Annotated[float, Field(ge=0, lt=1)]
    pool: Literal["default", "gem"]
    gem_p: Annotated[float, Field(ge=1)]
    gem_learnable: bool
    grad_checkpointing: bool


class TrainConfig(Section):
    """Length, batch and size of a fold's training, and what it keeps."""

    epochs: Count
    max_steps: Count | None
    batch_size: Annotated[int, Field(ge=2)]
    accumulation: Count
    image_size: Pixels | None
    grad_clip: Positive | None
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None
    head_first_epochs: Annotated[int, Field(ge=0)]
    early_stopping: Count | None
    checkpoint_minutes: NotNegative


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
    """How often two photos of a batch become one: MixUp and CutMix, each by its alpha."""

    p: Share
    mixup_alpha: NotNegative
    cutmix_alpha: NotNegative

    @property
    def active(self) -> bool:
        """Whether anything is mixed at all."""
        return self.p > 0 and (self.mixup_alpha > 0 or self.cutmix_alpha > 0)


class PartCropConfig(Section):
    """How often a photo's front, rear, upper or lower part is shown, and how much of it."""

    p: Share
    share: Range[PositiveShare]


class DarkenConfig(Section):
    """How often a photo is darkened, and by which factor."""

    p: Share
    factor: Range[PositiveShare]


class BlurConfig(Section):
    """How often a photo is blurred, and by which Gauss curve (pixels of the training image)."""

    p: Share
    sigma: Range[Positive]


class CompressionConfig(Section):
    """How often a photo is compressed again, and at which JPEG quality."""

    p: Share
    quality: Range[Annotated[int, Field(ge=1, le=100)]]


class DropoutConfig(Section):
    """How often boxes of a photo are painted over, how many, and of which side (a share)."""

    p: Share
    holes: Range[Count]
    side: Range[PositiveShare]


class AugmentationConfig(Section):
    """How training photos are varied."""

    crop_scale: Range[PositiveShare]
    crop_jitter: Annotated[float, Field(ge=0, lt=1)]
    part_crop: PartCropConfig
    hflip: Share
    brightness: Share
    contrast: Share
    saturation: Share
    darken: DarkenConfig
    blur: BlurConfig
    compression: CompressionConfig
    dropout: DropoutConfig


class LoaderConfig(Section):
    """The processes that decode photos; None, also where nothing is said, chooses by device."""

    workers: Annotated[int, Field(ge=0)] | None = None
    pin_memory: bool | None = None
    persistent_workers: bool | None = None
    start_method: Literal["fork", "spawn", "forkserver"] | None = None
    prefetch: Count | None = None


class InferenceConfig(Section):
    """Prediction, in validation and at test."""

    batch_size: Count


class TrackingConfig(Section):
    """Who else is told of the training, beside MLflow, TensorBoard and the event log."""

    wandb: Literal["online", "offline", False]


class Config(Section):
    """One backbone's resolved configuration."""

    name: str
    recipe: str
    seed: Seed
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    data: DataConfig
    model: ModelConfig
    train: TrainConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    loss: LossConfig
    mixing: MixingConfig
    augmentation: AugmentationConfig
    loader: LoaderConfig
    inference: InferenceConfig
    tracking: TrackingConfig

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
        if self.mixing.active and self.train.batch_size % 2:
            raise ValueError("train.batch_size: mixing pairs photos, and needs an even number")
        return self

    @property
    def train_image_size(self) -> int:
        """Side in pixels of a training image.

        Random crops magnify, so training sees a smaller size than evaluation does
        (Touvron et al., arXiv 1906.06423).
        """
        if self.train.image_size is not None:
            return self.train.image_size
        if self.model.fixed_size:
            return self.model.image_size
        return max(32, round(0.8 * self.model.image_size / 32) * 32)

    @property
    def cache_side(self) -> int | None:
        """Side in pixels of the cached photos that training reads; None reads the files.

        A cache must not blur what training sees: it holds a crop of the smallest scale in (nearly)
        as many pixels as a training image has.
        """
        # A tenth less is not seen, and lets more backbones share a cache.
        needed = 0.9 * self.train_image_size / sqrt(self.augmentation.crop_scale[0])
        if self.data.cache == "auto":
            # A trial run is over before a cache is written.
            sides = CACHE_SIDES if self.train.max_steps is None else ()
            return next((side for side in sides if side >= needed), None)
        return self.data.cache if self.data.cache and self.data.cache >= needed else None

    def result_settings(self) -> dict[str, Any]:
        """Every setting that changes the result, beside the data: no device, workers, paths.

        The cache is one: a photo that was resized twice has other last bits.
        """
        settings = self.model_dump(mode="json")
        for key in ("device", "data", "loader", "inference", "tracking"):
            del settings[key]
        # A weight in the ensemble changes no training.
        del settings["model"]["ensemble_weight"]
        # Where a file lies is of one machine; its content is for the caller to name.
        settings["model"]["weights"] = None
        # Recomputing activations, and how often a checkpoint is written, change no result.
        del settings["model"]["grad_checkpointing"], settings["train"]["checkpoint_minutes"]
        settings["train"]["image_size"] = self.train_image_size
        settings["cache_side"] = self.cache_side
        return settings

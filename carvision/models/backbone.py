"""A timm backbone with a new classifier, and how its input is normalised."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import nn

from carvision.config import Config
from carvision.errors import ConfigError, WeightsError
from carvision.models._timm import pretrained_cfg, timm
from carvision.models.pooling import put_gem
from carvision.models.starters import load_starter
from carvision.models.weights import read_state_dict


@dataclass(frozen=True)
class Preprocessing:
    """What the model expects: a square of ``image_size`` px, RGB, normalised by channel."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 ``[B, 3, H, W]`` to float32 of about zero mean and unit deviation."""
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1) * 255
        return (images.float() - mean) / std

    def to_json(self) -> dict[str, Any]:
        """As plain values, for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        return cls(value["image_size"], tuple(value["mean"]), tuple(value["std"]))


def preprocessing_of(config: Config) -> Preprocessing:
    """The backbone's own mean and deviation, from timm, at the configured size."""
    cfg = pretrained_cfg(config.model.timm_name)
    return Preprocessing(config.model.image_size, tuple(cfg.mean), tuple(cfg.std))


def build_model(config: Config, classes: int, *, pretrained: bool) -> nn.Module:
    """The backbone with a fresh classifier: ``[B, 3, H, W] -> [B, classes]``.

    Raises:
        ConfigError: an image size that the architecture cannot take, GeM where it is not known, a
            batch that its batch norm cannot train on.
        WeightsError: ``pretrained``, and the weights do not fit.
    """
    backbone = _with_classifier(config, classes, pretrained=pretrained)
    if config.model.pool == "gem":
        put_gem(backbone, config.model.gem_p, learnable=config.model.gem_learnable)
    smallest = smallest_batch(backbone)
    if config.train.batch_size != "auto" and config.train.batch_size < smallest:
        raise ConfigError(
            f"train.batch_size={config.train.batch_size}: {config.name} has batch norm, which "
            f"compares the images of a batch: set {smallest} or more, or auto"
        )
    if config.model.grad_checkpointing:
        backbone.set_grad_checkpointing(True)  # type: ignore[operator]
    return backbone


def _with_classifier(config: Config, classes: int, *, pretrained: bool) -> nn.Module:
    model = config.model
    options: dict[str, Any] = {
        "drop_rate": model.drop_rate,
        "drop_path_rate": model.drop_path_rate,
    }
    if model.fixed_size:
        options["img_size"] = model.image_size
    if not pretrained:
        return _create(config, num_classes=classes, **options)
    # With its own classifier the weights must fit to the last tensor; timm is lenient, and would
    # leave layers random, as soon as it is asked for another number of classes.
    if model.weights is not None:
        overlay = {"state_dict": read_state_dict(model.weights)}
        backbone = _create(config, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        backbone.pretrained_cfg.pop("state_dict")  # type: ignore[operator, union-attr]
    elif model.starter is not None:
        backbone = _create(config, **options)
        load_starter(backbone, model.starter)
    else:
        backbone = _create(config, pretrained=True, **options)
    backbone.reset_classifier(classes)  # type: ignore[operator]
    return backbone


def smallest_batch(model: nn.Module) -> int:
    """The fewest images that it can train on at a time: batch norm needs two to tell apart."""
    batch_norm = torch.nn.modules.batchnorm._BatchNorm
    return 2 if any(isinstance(part, batch_norm) for part in model.modules()) else 1


def classifier_parameters(model: nn.Module) -> set[str]:
    """Names of the new classifier's parameters."""
    classifier = model.get_classifier()  # type: ignore[operator]
    own = {id(parameter) for parameter in classifier.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def _create(config: Config, **options: Any) -> nn.Module:
    pretrained_cfg(config.model.timm_name)
    try:
        return timm.create_model(config.model.timm_name, **options)
    except AssertionError as error:
        raise ConfigError(
            f"model.image_size={config.model.image_size} does not suit {config.name}: {error}"
        ) from error
    except RuntimeError as error:
        if config.model.weights is None:
            raise
        raise WeightsError(
            f"model.weights={config.model.weights} does not fit {config.model.timm_name}: {error}"
        ) from error

"""A timm backbone with a new classifier, and the preprocessing of its input."""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final, Self

import numpy as np
import torch
from torch import nn

from carvision.config import Config
from carvision.config.schema import ModelConfig
from carvision.errors import ConfigError, WeightsError
from carvision.models.pooling import put_gem
from carvision.models.starters import load_starter
from carvision.models.timm_api import load_timm, pretrained_cfg
from carvision.models.weights import read_state_dict

#: The largest ``model.image_size`` in pixels.
_LARGEST_IMAGE: Final = 4096


@dataclass(frozen=True)
class Preprocessing:
    """The input that a model expects: RGB, ``image_size`` px square, normalised by channel.

    ``interpolation`` resizes photos to it: ``bicubic`` or ``bilinear``.
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 ``[B, 3, H, W]`` into float32 of about zero mean and unit deviation."""
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1) * 255
        return (images.float() - mean) / std

    def to_json(self) -> dict[str, Any]:
        """As plain values, for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what :meth:`to_json` returned.

        Raises:
            ValueError: it does not describe the input of a model.
        """
        # Models registered before there was a choice are bicubic.
        how = value.get("interpolation", "bicubic")
        size, mean, std = value["image_size"], tuple(value["mean"]), tuple(value["std"])
        if type(size) is not int or not 1 <= size <= _LARGEST_IMAGE:
            raise ValueError(f"preprocessing.image_size is {str(size)[:100]}")
        if not len(mean) == len(std) == 3 or not np.isfinite([*mean, *std]).all() or min(std) <= 0:
            raise ValueError("preprocessing.mean and preprocessing.std are no three numbers each")
        if how not in ("bicubic", "bilinear"):
            raise ValueError(f"preprocessing.interpolation is {str(how)[:100]}")
        return cls(size, mean, std, how)


def preprocessing_of(config: Config) -> Preprocessing:
    """timm's mean, deviation and interpolation of the backbone, at the configured size."""
    cfg = pretrained_cfg(config.model.timm_name)
    size = config.model.image_size
    return Preprocessing(size, tuple(cfg.mean), tuple(cfg.std), cfg.interpolation)


def build_model(config: Config, classes: int, *, pretrained: bool) -> nn.Module:
    """Build a network to train, with a new classifier: ``[B, 3, H, W] -> [B, classes]``.

    Raises:
        ConfigError: the architecture cannot take the image size, or GeM, or the batch is too small
            for its batch norm.
        WeightsError: the pretrained weights do not fit.
    """
    backbone = build_network(config.model, classes, pretrained=pretrained)
    smallest = smallest_batch(backbone)
    if config.train.batch_size != "auto" and config.train.batch_size < smallest:
        raise ConfigError(
            f"train.batch_size={config.train.batch_size}: {config.name} has batch norm, which "
            f"compares the images of a batch: set {smallest} or more, or auto"
        )
    _refuse_sizes(config.model, config.train_image_size)
    return backbone


def build_network(model: ModelConfig, classes: int, *, pretrained: bool) -> nn.Module:
    """Build a network that was trained before: :func:`build_model` without its checks.

    Raises:
        ConfigError: the architecture does not have an option, or cannot take GeM.
        WeightsError: the pretrained weights do not fit.
    """
    backbone = _with_classifier(model, classes, pretrained=pretrained)
    if model.pool == "gem":
        put_gem(backbone, model.gem_p, learnable=model.gem_learnable)
    if model.grad_checkpointing:
        backbone.set_grad_checkpointing(True)  # type: ignore[operator]
    return backbone


def _with_classifier(model: ModelConfig, classes: int, *, pretrained: bool) -> nn.Module:
    options: dict[str, Any] = {
        "drop_rate": model.drop_rate,
        "drop_path_rate": model.drop_path_rate,
    }
    if model.fixed_size:
        options["img_size"] = model.image_size
    if not pretrained:
        return _create(model, num_classes=classes, **options)
    # Built with its own classifier, so that every tensor must fit: asked for another number of
    # classes, timm would ignore what does not fit and leave layers random.
    if model.weights is not None:
        overlay = {"state_dict": read_state_dict(model.weights)}
        backbone = _create(model, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        backbone.pretrained_cfg.pop("state_dict")  # type: ignore[operator, union-attr]
    elif model.starter is not None:
        backbone = _create(model, **options)
        load_starter(backbone, model.starter)
    else:
        backbone = _create(model, pretrained=True, **options)
    backbone.reset_classifier(classes)  # type: ignore[operator]
    return backbone


def smallest_batch(model: nn.Module) -> int:
    """The fewest images in a training batch: batch norm needs two."""
    batch_norm = torch.nn.modules.batchnorm._BatchNorm
    return 2 if any(isinstance(part, batch_norm) for part in model.modules()) else 1


def classifier_parameters(model: nn.Module) -> set[str]:
    """The names of the new classifier's parameters."""
    classifier = model.get_classifier()  # type: ignore[operator]
    # A distilled network has two, for the labels and for the teacher, and averages them.
    parts = classifier if isinstance(classifier, tuple) else (classifier,)
    own = {id(parameter) for part in parts for parameter in part.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


#: The configuration's key of an argument to timm, where the names differ.
_KEYS = {"img_size": "fixed_size"}


def _create(model: ModelConfig, **options: Any) -> nn.Module:
    pretrained_cfg(model.timm_name)
    try:
        return load_timm().create_model(model.timm_name, **options)
    except AssertionError as error:
        raise ConfigError(
            f"model.image_size={model.image_size} does not suit {model.timm_name}: {error}"
        ) from error
    except TypeError as error:
        refused = "unexpected keyword argument" in str(error)
        unknown = next((name for name in options if refused and f"'{name}'" in str(error)), None)
        if unknown is None:
            raise
        # An argument of zero is left out only when refused: an architecture may have a default of
        # its own, which zero must override.
        if options.pop(unknown):
            key = _KEYS.get(unknown, unknown)
            raise ConfigError(
                f"model.{key}={getattr(model, key)}: {model.timm_name} has no such option"
            ) from error
        return _create(model, **options)
    except RuntimeError as error:
        if model.weights is None:
            raise
        raise WeightsError(
            f"model.weights={model.weights} does not fit {model.timm_name}: {error}"
        ) from error


@cache
def _refuse_sizes(model: ModelConfig, train_image_size: int) -> None:
    """Refuse sizes that the network cannot compute, before time goes into preparing data.

    Cached, since every fold asks.
    """
    for size in sorted({train_image_size, model.image_size}):
        try:
            _forward(model, size, "meta")
        # The network's code may raise anything, and some of it raises on meta tensors alone.
        except Exception:
            try:
                _forward(model, size, "cpu")
            except Exception as error:
                raise ConfigError(
                    f"model.timm_name={model.timm_name} cannot compute at {size} px "
                    f"(model.image_size={model.image_size}, train.image_size={train_image_size}, "
                    f"model.pool={model.pool}): {error}; model.fixed_size=true builds it for "
                    "model.image_size, where it takes one size only"
                ) from error


def _forward(model: ModelConfig, size: int, device: str) -> None:
    """Pass an image through a network of random weights; on ``meta`` only shapes are computed."""
    plain = model.model_copy(update={"grad_checkpointing": False})
    with torch.random.fork_rng(devices=[]), torch.inference_mode(), torch.device(device):
        build_network(plain, 2, pretrained=False).eval()(torch.zeros(1, 3, size, size))

"""A timm backbone with a new classifier, and how its input is normalised."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import nn

from carvision.config import Config
from carvision.errors import ConfigError, WeightsError
from carvision.models._torchvision import ensure_torchvision
from carvision.models.starters import load_starter
from carvision.models.weights import read_state_dict

ensure_torchvision()
import timm  # noqa: E402


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
    cfg = timm.get_pretrained_cfg(config.model.timm_name)
    if cfg is None:
        raise ConfigError(f"model.timm_name: timm knows no {config.model.timm_name!r}")
    return Preprocessing(config.model.image_size, tuple(cfg.mean), tuple(cfg.std))


def build_model(config: Config, classes: int, *, pretrained: bool) -> nn.Module:
    """The backbone with a fresh classifier: ``[B, 3, H, W] -> [B, classes]``.

    Raises:
        ConfigError: pooling that is not built yet, or an image size the architecture cannot take.
        WeightsError: ``pretrained``, and the weights do not fit.
    """
    check_buildable(config)
    model = config.model
    options: dict[str, Any] = {
        "drop_rate": model.drop_rate,
        "drop_path_rate": model.drop_path_rate,
    }
    if model.fixed_size:
        options["img_size"] = model.image_size
    if not pretrained:
        return _create(config, num_classes=classes, **options)
    if model.weights is not None:
        state = read_state_dict(model.weights)
        overlay = {"state_dict": state}
        return _create(config, num_classes=classes, pretrained_cfg_overlay=overlay, **options)
    if model.starter is not None:
        starter = _create(config, **options)
        load_starter(starter, model.starter)
        # timm's own method, by which it keeps its classifier's initialisation.
        starter.reset_classifier(classes)  # type: ignore[operator]
        return starter
    return _create(config, num_classes=classes, pretrained=True, **options)


def check_buildable(config: Config) -> None:
    """Refuse what the configuration can name and this version cannot build.

    Raises:
        ConfigError: the pooling is GeM.
    """
    if config.model.pool == "gem":
        raise ConfigError(
            f"model.pool=gem (recipe {config.recipe!r}) is not built yet; "
            "use recipe=finetune, or keep the recipe with set=model.pool=default"
        )


def classifier_parameters(model: nn.Module) -> set[str]:
    """Names of the new classifier's parameters."""
    classifier = model.get_classifier()  # type: ignore[operator]
    own = {id(parameter) for parameter in classifier.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def _create(config: Config, **options: Any) -> nn.Module:
    options.setdefault("pretrained", "pretrained_cfg_overlay" in options)
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

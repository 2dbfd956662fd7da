"""What carvision takes from timm, imported in the one way that works everywhere."""

from typing import Any

from carvision.errors import ConfigError
from carvision.models.torchvision_import import ensure_torchvision

# timm imports torchvision.
ensure_torchvision()

import timm  # noqa: E402
from timm.data import ImageDataset, Mixup, create_loader  # noqa: E402
from timm.loss import LabelSmoothingCrossEntropy  # noqa: E402
from timm.optim import create_optimizer_v2, param_groups_layer_decay  # noqa: E402
from timm.scheduler import create_scheduler_v2  # noqa: E402
from timm.utils import ModelEmaV3  # noqa: E402

__all__ = [
    "ImageDataset",
    "LabelSmoothingCrossEntropy",
    "Mixup",
    "ModelEmaV3",
    "create_loader",
    "create_optimizer_v2",
    "create_scheduler_v2",
    "param_groups_layer_decay",
    "pretrained_cfg",
    "timm",
]


def pretrained_cfg(timm_name: str) -> Any:
    """timm's description of a model: normalisation, image size, where its weights are.

    Raises:
        ConfigError: timm does not know the name, or not with this tag.
    """
    try:
        cfg = timm.get_pretrained_cfg(timm_name)
    except RuntimeError as error:
        raise ConfigError(f"model.timm_name={timm_name!r}: {error}") from error
    if cfg is None:
        raise ConfigError(f"model.timm_name={timm_name!r}: timm knows no such model")
    return cfg

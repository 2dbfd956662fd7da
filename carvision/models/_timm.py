"""timm, imported in the one way that works everywhere, and what it says of a model's name."""

from typing import Any

from carvision.errors import ConfigError
from carvision.models._torchvision import ensure_torchvision

ensure_torchvision()
import timm  # noqa: E402

__all__ = ["pretrained_cfg", "timm"]


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

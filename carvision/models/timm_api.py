"""timm, imported at its first use: that takes seconds, and only models and training need it."""

from functools import cache
from typing import Any

from carvision.errors import ConfigError
from carvision.models.torchvision_import import ensure_torchvision


@cache
def load_timm() -> Any:
    """Import timm with the modules that carvision uses."""
    # timm imports torchvision.
    ensure_torchvision()

    import timm
    import timm.data
    import timm.loss
    import timm.optim
    import timm.scheduler
    import timm.utils

    return timm


def pretrained_cfg(timm_name: str) -> Any:
    """timm's description of a model: normalisation, image size, where its weights are.

    Raises:
        ConfigError: timm does not know the name, or not with this tag.
    """
    try:
        cfg = load_timm().get_pretrained_cfg(timm_name)
    except RuntimeError as error:
        raise ConfigError(f"model.timm_name={timm_name!r}: {error}") from error
    if cfg is None:
        raise ConfigError(f"model.timm_name={timm_name!r}: timm knows no such model")
    return cfg

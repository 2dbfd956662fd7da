"""Which device and precision a run uses."""

from contextlib import AbstractContextManager

import torch

from carvision.errors import ConfigError


def resolve_device(wanted: str) -> str:
    """``cpu``, ``cuda`` or ``mps``; ``auto`` takes the fastest there is.

    Raises:
        ConfigError: the wanted device is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name, there in present.items() if there)
    if not present[wanted]:
        there = [name for name, yes in present.items() if yes]
        raise ConfigError(f"device={wanted} is not available here; available: {there}")
    return wanted


def resolve_precision(wanted: str, device: str) -> str:
    """``fp32``, ``bf16`` or ``fp16``; ``auto`` takes bf16 where the hardware computes in it.

    A CPU without such instructions emulates bf16, slower than fp32. Older CUDA cards take fp16,
    with scaled gradients.

    Raises:
        ConfigError: fp16 on another device than CUDA, where gradients are not scaled.
    """
    if wanted == "fp16" and device != "cuda":
        raise ConfigError(f"precision=fp16 needs device=cuda; on {device} take auto")
    if wanted != "auto":
        return wanted
    if device == "cuda":
        # Without emulation: older cards take bf16 too, and compute it slower than fp32.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device == "cpu":
        return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"
    return "fp32"


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """The context in which a model computes in ``precision``."""
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, kind, enabled=precision != "fp32")

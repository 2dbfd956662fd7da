"""Which device and precision a run uses, and how tensors get there."""

import logging
import os
import platform
from contextlib import AbstractContextManager
from functools import cache

import torch

from carvision.config import RunSettings
from carvision.errors import ConfigError
from carvision.inference.cuda import FITTING_TORCH, why_no_cuda

log = logging.getLogger(__name__)

#: What torchrun, `accelerate launch` and mpirun tell each of the processes that they start, and
#: where they say how many there are. Slurm and mpirun start single processes, too.
_LAUNCHERS = {
    "LOCAL_RANK": "",
    "OMPI_COMM_WORLD_LOCAL_RANK": "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK": "PMI_SIZE",
}


def resolve_device(wanted: str) -> str:
    """``cpu``, ``cuda`` or ``mps``; ``auto`` takes the fastest there is.

    A warning says why ``auto`` takes the CPU of a machine that has an NVIDIA driver.

    Raises:
        ConfigError: the wanted device is not there, or several processes were started at once.
    """
    _refuse_launcher()
    return available_device(wanted)


def available_device(wanted: str) -> str:
    """:func:`resolve_device` in somebody else's process, which a launcher may well have started.

    Raises:
        ConfigError: the wanted device is not there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        chosen = next(name for name, there in present.items() if there)
        if chosen == "cpu":
            _warn_of_unused_card()
        return chosen
    if not present[wanted]:
        there = [name for name, yes in present.items() if yes]
        reason = why_no_cuda() if wanted == "cuda" else None
        because = f": {reason}; install a torch that fits: {FITTING_TORCH}" if reason else ""
        raise ConfigError(f"device={wanted} is not available here; available: {there}{because}")
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


def prediction_precision(wanted: str, trained: str, device: str) -> str:
    """The precision of a prediction: ``wanted``, and with ``auto`` that of the model's training.

    ``trained`` is the model's own setting. Where it is ``auto``, or where ``device`` does not
    compute in it, the device's own choice holds, as in :func:`resolve_precision`.

    Raises:
        ConfigError: ``wanted`` is fp16 on another device than CUDA.
    """
    chosen = resolve_precision(wanted, device)
    if wanted != "auto":
        return chosen
    computes = {"fp32": True, "bf16": chosen == "bf16", "fp16": device == "cuda"}
    return trained if computes.get(trained, False) else chosen


def resolved_precision(settings: RunSettings) -> str:
    """The precision that ``settings`` mean on this machine; results depend on it, not on "auto".

    Raises:
        ConfigError: as :func:`resolve_device` and :func:`resolve_precision`.
    """
    return resolve_precision(settings.precision, resolve_device(settings.device))


def device_name(device: str) -> str:
    """The device in words: the card's name, or the processor's and how many threads compute."""
    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    if device == "mps":
        return f"mps ({platform.processor() or platform.machine()})"
    return f"cpu ({torch.get_num_threads()} threads)"


def memory_format(device: str) -> torch.memory_format:
    """How images and weights lie in memory: channels last, which convolutions compute faster.

    Not on MPS: there the backward pass of batch norm crashes or computes wrong gradients with it
    (https://github.com/pytorch/pytorch/issues/175189, .../181411).
    """
    return torch.contiguous_format if device == "mps" else torch.channels_last


def to_device(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """``tensor`` on ``device``; without waiting for the copy on CUDA alone, where work is in order.

    On MPS such a copy may be read before it has arrived.
    """
    return tensor.to(device, non_blocking=device == "cuda")


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """The context in which a model computes in ``precision``."""
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, kind, enabled=precision != "fp32")


def _refuse_launcher() -> None:
    """Several processes would each train the same fold, or wait for each other."""
    found = next(
        (
            name
            for name, size in _LAUNCHERS.items()
            if name in os.environ and os.environ.get(size) != "1"
        ),
        None,
    )
    if found is not None:
        raise ConfigError(
            f"{found}={os.environ[found]} is set: torchrun or another launcher started this "
            "process. carvision trains a fold in one process: start it without the launcher (or "
            f"`unset {found}`). For several cards, start one fold on each: CUDA_VISIBLE_DEVICES=0 "
            "mlflow run . -e train -P fold=1, and so on"
        )


@cache
def _warn_of_unused_card() -> None:
    reason = why_no_cuda()
    if reason is not None:
        log.warning(
            "device=auto takes the CPU although an NVIDIA driver is installed: %s. To use the "
            "card, install a torch that fits its driver: %s; device=cpu ends this warning",
            reason,
            FITTING_TORCH,
        )

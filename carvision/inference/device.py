"""Choose the device and the precision of a run, and move tensors to the device."""

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

#: Variables that torchrun, `accelerate launch` and mpirun set in each process, with the variable
#: that holds the number of processes: Slurm and mpirun also start single ones.
_LAUNCHERS = {
    "LOCAL_RANK": "",
    "OMPI_COMM_WORLD_LOCAL_RANK": "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK": "PMI_SIZE",
}


def resolve_device(wanted: str) -> str:
    """``cpu``, ``cuda`` or ``mps``; ``auto`` takes the fastest one available.

    A warning gives the reason if ``auto`` takes the CPU of a machine with an NVIDIA driver.

    Raises:
        ConfigError: the device is not available, or a launcher started several processes.
    """
    _refuse_launcher()
    return available_device(wanted)


def available_device(wanted: str) -> str:
    """:func:`resolve_device` without the check for launchers, for a model in another program.

    Raises:
        ConfigError: the device is not available.
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

    A CPU without such instructions emulates bf16, which is slower than fp32. Older CUDA cards take
    fp16, with scaled gradients.

    Raises:
        ConfigError: fp16 on another device than CUDA, where gradients are not scaled.
    """
    if wanted == "fp16" and device != "cuda":
        raise ConfigError(f"precision=fp16 needs device=cuda; on {device} take auto")
    if wanted != "auto":
        return wanted
    if device == "cuda":
        # Older cards emulate bf16, slower than fp32.
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
    """The device with the name of its card or processor, or the number of threads."""
    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    if device == "mps":
        return f"mps ({platform.processor() or platform.machine()})"
    return f"cpu ({torch.get_num_threads()} threads)"


def memory_format(device: str) -> torch.memory_format:
    """The memory layout of images and weights: channels last, which makes convolutions faster.

    Not on MPS, where the backward pass of batch norm then crashes or computes wrong gradients
    (https://github.com/pytorch/pytorch/issues/175189, .../181411).
    """
    return torch.contiguous_format if device == "mps" else torch.channels_last


def to_device(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """Copy ``tensor`` to ``device``, on CUDA without waiting: its work is done in order.

    On MPS such a copy could be read before it is complete.
    """
    return tensor.to(device, non_blocking=device == "cuda")


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """The context manager in which a model computes in ``precision``."""
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, kind, enabled=precision != "fp32")


def _refuse_launcher() -> None:
    """Refuse several processes, which would train the same fold, or wait for each other."""
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

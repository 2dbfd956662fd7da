"""Running out of memory: how it is told from other errors, and how full the device is."""

import gc
import resource
import sys

import torch

#: What MPS, the CPU's allocator and older CUDA versions say in a plain RuntimeError.
_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that the device, or the machine, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def release_memory(device: str) -> None:
    """Give what torch keeps for later back to the device, cycles of old models included."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def memory_used(device: str) -> float:
    """Peak GiB of this process: the device's memory on CUDA and MPS, else the machine's."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    if device == "mps":
        return torch.mps.driver_allocated_memory() / 2**30
    # Kilobytes, but bytes on macOS.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 2**30

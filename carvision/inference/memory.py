"""Memory of the device and of the process: errors, use, release, and the allocator's settings."""

import ctypes
import gc
import os
import resource
import sys
from pathlib import Path

import torch

#: From glibc's malloc.h: parameters of mallopt, and the largest int.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _INT_MAX = -1, -4, 2**31 - 1

#: Messages of the RuntimeErrors of MPS, the CPU's allocator and CUDA's libraries. Without room for
#: its workspace, cuDNN says that a configuration is not supported, or that it finds no algorithm.
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "cudnn_status_not_supported",
    "unable to find a valid cudnn algorithm",
    "std::bad_alloc",
)

#: Linux's files of a container's limit, use and reclaimable cache: cgroups v2, then v1.
_CONTAINERS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that the device, or the machine, is out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def release_memory(device: str) -> None:
    """Return memory that torch keeps for later to the device, that of unreachable models too."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
    elif (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def configure_allocator(device: str) -> None:
    """Set up the memory allocator of this process for training or predicting on ``device``.

    On a CPU with glibc, keep freed memory, as CUDA's allocator does: glibc returns the memory of
    each large tensor at once, and the kernel clears it page by page when the next step allocates it
    again, which costs a fifth of a step's time. See mallopt(3).

    On MPS, refuse memory where the machine would begin to swap, so that batches are halved instead.
    Metal recommends a largest working set; torch's own limit is 1.7 times that. A limit that the
    user has set by PYTORCH_MPS_HIGH_WATERMARK_RATIO holds.
    """
    if device == "cpu" and (libc := _glibc()) is not None:
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _INT_MAX)
    if device == "mps" and "PYTORCH_MPS_HIGH_WATERMARK_RATIO" not in os.environ:
        torch.mps.set_per_process_memory_fraction(1.0)


def reset_peak_memory(device: str) -> None:
    """Reset the peak of :func:`memory_used`; only CUDA can."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def memory_used(device: str) -> float:
    """GiB of this process: the peak on CUDA, the present use on MPS, else the machine's peak."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    if device == "mps":
        return torch.mps.driver_allocated_memory() / 2**30
    # In kilobytes; on macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 2**30


def available_memory() -> int:
    """Bytes that the machine, or the container of this process, has left.

    Where the system does not report it (macOS), half of the machine's memory.
    """
    try:
        free = 1024 * _number(Path("/proc/meminfo"), "MemAvailable:")
    except (OSError, ValueError):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return min(free, *(_container_room(*names) for names in _CONTAINERS))


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process if it is GNU's, whose allocator has settings."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    # musl has neither function.
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None


def _container_room(folder: str, limit: str, used: str, cached: str) -> int:
    """Bytes that are left below a container's limit; cached files count as free."""
    place = Path(folder)
    try:
        most = int((place / limit).read_text())
        kept = int((place / used).read_text()) - _number(place / "memory.stat", cached)
    except (OSError, ValueError):
        return sys.maxsize  # no such container, or no limit ("max")
    return max(0, most - kept)


def _number(file: Path, name: str) -> int:
    """The number after ``name`` at the start of a line."""
    for line in file.read_text().splitlines():
        key, value, *_ = line.split()
        if key == name:
            return int(value)
    raise ValueError(f"{file} has no line {name}")

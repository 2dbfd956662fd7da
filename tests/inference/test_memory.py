"""Memory that is left, the machine's or its container's; and what the allocator keeps."""

import subprocess
import sys
from pathlib import Path

import pytest

from carvision.inference import memory
from carvision.inference.memory import (
    available_memory,
    configure_allocator,
    is_out_of_memory,
    release_memory,
    reset_peak_memory,
)


def _container(folder: Path, limit: str) -> tuple[str, str, str, str]:
    folder.mkdir()
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text("700\n")
    (folder / "memory.stat").write_text("anon 500\ninactive_file 200\n")
    return (str(folder), "memory.max", "memory.current", "inactive_file")


@pytest.mark.parametrize(
    ("limit", "left"), [("900", 400), ("500", 0), ("max", None), (str(2**63), None)]
)
def test_a_container_has_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, left: int | None
) -> None:
    nowhere = (str(tmp_path / "nowhere"), "a", "b", "c")
    monkeypatch.setattr(memory, "_CONTAINERS", (nowhere,))
    whole = available_memory()
    assert 2**20 < whole < 2**50
    monkeypatch.setattr(memory, "_CONTAINERS", (nowhere, _container(tmp_path / "v2", limit)))
    found = available_memory()
    if left is None:
        # The machine's own changes from moment to moment.
        assert found == pytest.approx(whole, rel=0.5)
    else:
        assert found == left


def test_a_system_that_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(file: Path, name: str) -> int:
        raise FileNotFoundError(file)

    monkeypatch.setattr(memory, "_number", unknown)
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.get)
    assert available_memory() == 5 * 4096


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("CUDA out of memory. Tried to allocate 2 GiB", True),
        ("[enforce fail at alloc_cpu.cpp:125] . DefaultCPUAllocator: not enough memory", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if", True),
        ("Unable to find a valid cuDNN algorithm to run convolution", True),
        ("std::bad_alloc", True),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`", False),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_says_that_memory_ran_out(message: str, expected: bool) -> None:
    assert is_out_of_memory(RuntimeError(message)) == expected


#: Page faults of a large tensor that is made again and again, in a process of its own: as the
#: allocator is, and as it is told to be.
_FAULTS = """
import resource
import torch
from carvision.inference.memory import configure_allocator

def faults():
    for repeat in range(9):
        torch.zeros(2**24).add_(1)
        if repeat == 1:
            first = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - first

before = faults()
configure_allocator("cpu")
print(before, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is meant")
def test_freed_memory_is_not_asked_for_again() -> None:
    command = [sys.executable, "-c", _FAULTS]
    output = subprocess.run(command, check=True, capture_output=True).stdout
    given_back, kept = map(int, output.split())
    # Something small on top of the heap may make it grow once more.
    assert kept < 0.5 * given_back


class _Libc:
    """glibc's allocator functions, which note their calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def mallopt(self, parameter: int, value: int) -> None:
        self.calls.append("mallopt")

    def malloc_trim(self, pad: int) -> None:
        self.calls.append("malloc_trim")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is meant")
@pytest.mark.parametrize(("device", "expected"), [("cpu", ["mallopt"] * 2), ("mps", [])])
def test_only_a_cpu_keeps_freed_memory(
    device: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = _Libc()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: libc)
    monkeypatch.setattr(memory.torch.mps, "set_per_process_memory_fraction", lambda limit: None)
    configure_allocator(device)
    assert libc.calls == expected


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is meant")
def test_released_memory_goes_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = _Libc()
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: libc)
    release_memory("cpu")
    assert libc.calls == ["malloc_trim"]


@pytest.mark.parametrize(
    ("device", "own", "expected"),
    [("mps", None, [1.0]), ("mps", "0.0", []), ("cpu", None, []), ("cuda", None, [])],
)
def test_only_mps_is_kept_below_swap(
    device: str, own: str | None, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    monkeypatch.setattr(memory.torch.mps, "set_per_process_memory_fraction", limits.append)
    monkeypatch.delenv("PYTORCH_MPS_HIGH_WATERMARK_RATIO", raising=False)
    if own is not None:
        monkeypatch.setenv("PYTORCH_MPS_HIGH_WATERMARK_RATIO", own)
    configure_allocator(device)
    assert limits == expected


def test_the_peak_of_a_card_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[str] = []
    monkeypatch.setattr(
        memory.torch.cuda, "reset_peak_memory_stats", lambda: forgotten.append("cuda")
    )
    for device in ("cpu", "mps", "cuda"):
        reset_peak_memory(device)
    assert forgotten == ["cuda"]

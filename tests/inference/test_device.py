"""Devices and precisions: what is chosen, and what is refused."""

import pytest
import torch

from carvision.config import load_config
from carvision.errors import ConfigError
from carvision.inference import (
    autocast,
    available_device,
    device_name,
    memory_format,
    prediction_precision,
    resolve_device,
    resolve_precision,
    resolved_precision,
    to_device,
)

ABSENT = [
    name
    for name, there in (
        ("cuda", torch.cuda.is_available()),
        ("mps", torch.backends.mps.is_available()),
    )
    if not there
]


@pytest.mark.parametrize("device", ABSENT)
def test_an_absent_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=rf"device={device} is not available .*'cpu'"):
        resolve_device(device)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu"), (True, True, "cuda")],
)
def test_auto_takes_the_fastest(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == expected
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_was_asked_for_is_kept(device: str, precision: str) -> None:
    assert resolve_precision(precision, device) == precision


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_takes_bf16_only_where_the_processor_has_it(
    native: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("auto", "mps") == "fp32"


@pytest.mark.parametrize(
    ("wanted", "trained", "device", "native", "expected"),
    [
        ("auto", "fp32", "cpu", True, "fp32"),
        ("auto", "fp32", "cuda", True, "fp32"),
        ("auto", "auto", "cpu", True, "bf16"),
        ("auto", "auto", "cpu", False, "fp32"),
        ("auto", "bf16", "cpu", True, "bf16"),
        # An emulated bf16 is slower than fp32, and scaled fp16 is CUDA's alone.
        ("auto", "bf16", "cpu", False, "fp32"),
        ("auto", "bf16", "mps", True, "fp32"),
        ("auto", "fp16", "cpu", True, "bf16"),
        ("auto", "fp16", "cuda", True, "fp16"),
        ("bf16", "fp32", "cpu", False, "bf16"),
        ("fp32", "bf16", "cpu", True, "fp32"),
    ],
)
def test_a_model_is_predicted_as_it_was_trained(
    wanted: str,
    trained: str,
    device: str,
    native: bool,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert prediction_precision(wanted, trained, device) == expected


def test_a_precision_that_the_device_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match="precision=fp16 needs device=cuda"):
        prediction_precision("fp16", "fp32", "cpu")


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_autocast_computes_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    with autocast("cpu", precision):
        assert torch.nn.Linear(4, 4)(torch.zeros(1, 4)).dtype == dtype


@pytest.mark.parametrize("name", ["LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "PMI_RANK"])
@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_a_launcher_of_several_processes_is_refused(
    name: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "0")
    with pytest.raises(ConfigError, match=f"{name}=0 is set.*without the launcher"):
        resolve_device(wanted)
    # A registered model may be loaded by a program that a launcher started.
    available = available_device(wanted)
    monkeypatch.delenv(name)
    assert available == resolve_device(wanted)


@pytest.mark.parametrize(
    ("rank", "size"),
    [("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE")],
)
def test_a_launcher_of_a_single_process_is_none(
    rank: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(rank, "0")
    monkeypatch.setenv(size, "1")
    assert resolve_device("cpu") == "cpu"
    monkeypatch.setenv(size, "2")
    with pytest.raises(ConfigError, match=f"{rank}=0 is set"):
        resolve_device("cpu")


@pytest.mark.parametrize(
    ("wanted", "native", "expected"),
    [("auto", True, "bf16"), ("auto", False, "fp32"), ("fp32", True, "fp32")],
)
def test_a_configuration_is_resolved_on_this_machine(
    wanted: str, native: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    config = load_config(device="cpu", overrides=f"precision={wanted}")
    assert resolved_precision(config) == expected


def test_images_lie_channels_last_but_on_mps() -> None:
    assert memory_format("mps") is torch.contiguous_format
    assert memory_format("cpu") is memory_format("cuda") is torch.channels_last


@pytest.mark.parametrize(("device", "waits"), [("cuda", False), ("mps", True), ("cpu", True)])
def test_only_cuda_copies_without_waiting(device: str, waits: bool) -> None:
    class Recorded:
        def to(self, device: str, non_blocking: bool) -> tuple[str, bool]:
            return device, non_blocking

    assert to_device(Recorded(), device) == (device, not waits)  # type: ignore[arg-type]


def test_a_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    assert device_name("cuda") == "cuda (NVIDIA H100)"
    assert device_name("cpu") == f"cpu ({torch.get_num_threads()} threads)"
    assert device_name("mps").startswith("mps (")

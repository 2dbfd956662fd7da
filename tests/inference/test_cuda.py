"""A machine with an NVIDIA driver whose card is not used: the reason, and what to do."""

import logging

import pytest
import torch

from carvision.errors import ConfigError
from carvision.inference import cuda, device, resolve_device


@pytest.fixture(autouse=True)
def driver(monkeypatch, tmp_path):
    """A driver, and no card that torch can use."""
    version = tmp_path / "version"
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01")
    monkeypatch.setattr(cuda, "_DRIVER", version)
    monkeypatch.setattr(cuda.shutil, "which", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "init", _too_old)
    _forget()
    yield version
    # What is found out here holds for no other test.
    _forget()


def _forget():
    cuda.why_no_cuda.cache_clear()
    device._warn_of_unused_card.cache_clear()


def _too_old():
    raise RuntimeError(
        "The NVIDIA driver on your system is too old (found version 11040).\nPlease update it"
    )


def test_an_old_driver_is_the_reason():
    assert cuda.why_no_cuda() == (
        "The NVIDIA driver on your system is too old (found version 11040)."
    )


def test_a_torch_without_cuda_is_the_reason(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "was built without CUDA" in cuda.why_no_cuda()


def test_a_driver_without_a_card_is_the_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    assert "finds no card" in cuda.why_no_cuda()


def test_the_tool_tells_of_a_driver_too(driver, monkeypatch):
    driver.unlink()
    monkeypatch.setattr(cuda.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "too old" in cuda.why_no_cuda()


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_cards_that_are_hidden_on_purpose_are_no_problem(hidden, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert cuda.why_no_cuda() is None


def test_without_a_driver_there_is_no_problem(driver):
    driver.unlink()
    assert cuda.why_no_cuda() is None


def test_a_card_that_is_used_is_no_problem(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert cuda.why_no_cuda() is None


def test_auto_warns_once_that_it_takes_the_cpu(caplog, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert [resolve_device("auto"), resolve_device("auto")] == ["cpu", "cpu"]
    (warning,) = caplog.messages
    assert "too old (found version 11040)" in warning
    assert "uv pip install --torch-backend=auto" in warning


def test_the_cpu_by_choice_warns_of_nothing(caplog):
    assert resolve_device("cpu") == "cpu"
    assert not caplog.messages


def test_cuda_by_choice_says_why_not():
    with pytest.raises(ConfigError, match=r"not available.*too old.*torch-backend=auto"):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["cpu", "mps"])
def test_other_devices_need_no_card(name, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "empty", lambda *size, **where: asked.append(where))
    cuda.refuse_unfit_card(name)
    assert asked == []


def test_a_card_that_torch_has_no_code_for_is_refused(monkeypatch):
    def no_kernel(*size, device):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch, "ones", no_kernel)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla K80")
    with pytest.raises(ConfigError, match=r"Tesla K80 cannot compute.*no kernel image.*device=cpu"):
        cuda.refuse_unfit_card("cuda")

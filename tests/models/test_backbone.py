"""Backbones: their shape, their input's normalisation, and what is refused before it is built."""

import numpy as np
import pytest
import timm
import torch

from carvision.config import list_models, load_config
from carvision.errors import ConfigError
from carvision.models import (
    Preprocessing,
    build_model,
    classifier_parameters,
    preprocessing_of,
    smallest_batch,
)

STARTERS = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]


@pytest.mark.parametrize("name", STARTERS)
@pytest.mark.parametrize("classes", [2, 7])
@torch.inference_mode()
def test_a_starter_gives_a_logit_for_every_class(name: str, classes: int) -> None:
    model = build_model(load_config(name), classes, pretrained=True).eval()
    logits = model(torch.randn(3, 3, 64, 64))
    assert logits.shape == (3, classes)
    assert torch.isfinite(logits).all()


def test_a_starter_keeps_its_body_and_gets_a_new_classifier() -> None:
    config = load_config("efficientnet_lite0")
    ours = build_model(config, 5, pretrained=True).state_dict()
    whole = build_model(config, 1000, pretrained=True).state_dict()
    same = {name for name in ours if torch.equal(ours[name], whole[name])}
    assert set(ours) - same == {"classifier.weight", "classifier.bias"}
    assert ours["classifier.weight"].shape == (5, 1280)
    assert torch.isfinite(ours["classifier.weight"]).all()
    assert ours["classifier.weight"].std() > 0


def test_the_classifier_is_drawn_from_torchs_seed() -> None:
    config = load_config("efficientnet_lite0")
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(build_model(config, 5, pretrained=True).state_dict()["classifier.weight"])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", list_models())
def test_normalisation_is_timms(name: str) -> None:
    config = load_config(name)
    cfg = timm.get_pretrained_cfg(config.model.timm_name)
    found = preprocessing_of(config)
    assert found == Preprocessing(config.model.image_size, tuple(cfg.mean), tuple(cfg.std))
    pixels = np.random.default_rng(5).integers(0, 256, (2, 3, 6, 6), dtype=np.uint8)
    mean = np.array(cfg.mean, np.float64).reshape(1, 3, 1, 1)
    std = np.array(cfg.std, np.float64).reshape(1, 3, 1, 1)
    normal = found.normalise(torch.from_numpy(pixels))
    assert normal.dtype == torch.float32
    np.testing.assert_allclose(normal.numpy(), (pixels / 255 - mean) / std, atol=2e-6)


def test_preprocessing_survives_json() -> None:
    preprocessing = preprocessing_of(load_config("swin_large"))
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing


@pytest.mark.parametrize("timm_name", ["no_such_model", "vit_base_patch16_224.no_such_tag"])
def test_a_name_that_timm_does_not_know_is_refused(timm_name: str) -> None:
    config = load_config(overrides=f"model.timm_name={timm_name}")
    with pytest.raises(ConfigError, match=r"model\.timm_name"):
        preprocessing_of(config)


# Small relatives of the presets with a fixed size: the same code of timm at a fraction of the cost.
@pytest.mark.parametrize(
    ("preset", "timm_name", "size"),
    [
        ("swin_large", "swin_tiny_patch4_window7_224.ms_in1k", 200),
        ("swin_large", "swin_tiny_patch4_window7_224.ms_in1k", 33),
        ("vit_base", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", 100),
        ("vit_base", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", 32),
        ("convnext_base", "convnext_atto.d2_in1k", 33),
    ],
)
@torch.inference_mode()
def test_an_odd_size_is_taken_or_refused_as_configuration(
    preset: str, timm_name: str, size: int
) -> None:
    """Which sizes an architecture takes is timm's to say, and differs between its versions."""
    text = f"model.timm_name={timm_name} model.image_size={size} train.image_size={size}"
    config = load_config(preset, overrides=f"{text} model.pretrained=false")
    try:
        model = build_model(config, 3, pretrained=False)
    except ConfigError as error:
        assert f"model.image_size={size}" in str(error)
    else:
        assert model.eval()(torch.zeros(1, 3, size, size)).shape == (1, 3)


@pytest.mark.parametrize(
    ("timm_name", "smallest"),
    [("tf_efficientnet_lite0.in1k", 2), ("convnext_atto.d2_in1k", 1), ("test_vit.r160_in1k", 1)],
)
def test_a_batch_of_one_is_refused_where_there_is_batch_norm(timm_name: str, smallest: int) -> None:
    text = f"model.timm_name={timm_name} model.image_size=160 train.image_size=160"
    config = load_config(overrides=f"{text} train.batch_size=1")
    if smallest == 1:
        assert smallest_batch(build_model(config, 3, pretrained=False)) == 1
    else:
        with pytest.raises(ConfigError, match=r"train\.batch_size=1: .* batch norm.* set 2 or"):
            build_model(config, 3, pretrained=False)


def test_timms_assertion_becomes_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **options: object) -> None:
        raise AssertionError("the size must be a multiple of 32")

    monkeypatch.setattr(timm, "create_model", refuse)
    config = load_config("swin_large", overrides="model.image_size=200 model.pretrained=false")
    with pytest.raises(ConfigError, match=r"model\.image_size=200 .* swin_large: .* of 32"):
        build_model(config, 3, pretrained=False)


@pytest.mark.parametrize(
    ("timm_name", "expected"),
    [
        ("tf_efficientnet_lite0.in1k", {"classifier.weight", "classifier.bias"}),
        ("convnext_atto.d2_in1k", {"head.fc.weight", "head.fc.bias"}),
        ("swin_tiny_patch4_window7_224.ms_in1k", {"head.fc.weight", "head.fc.bias"}),
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", {"head.weight", "head.bias"}),
        ("resnet18.a1_in1k", {"fc.weight", "fc.bias"}),
    ],
)
def test_classifier_parameters_names_the_classifier_alone(
    timm_name: str, expected: set[str]
) -> None:
    assert classifier_parameters(timm.create_model(timm_name, num_classes=4)) == expected

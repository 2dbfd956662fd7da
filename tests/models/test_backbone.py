"""Backbones: their shape, their input's normalisation, and what is refused before it is built."""

import numpy as np
import pytest
import torch

from carvision.config import Config, list_models, load_config
from carvision.errors import ConfigError
from carvision.models import (
    Preprocessing,
    build_model,
    classifier_parameters,
    preprocessing_of,
    smallest_batch,
)
from carvision.models.timm_api import load_timm

timm = load_timm()

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
    other = preprocessing_of(load_config(overrides="model.timm_name=dla34.in1k"))
    assert other.interpolation == "bilinear"
    assert Preprocessing.from_json(other.to_json()) == other
    # A bundle of before it was stored.
    older = {k: v for k, v in preprocessing.to_json().items() if k != "interpolation"}
    assert Preprocessing.from_json(older).interpolation == "bicubic"


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


def _named(timm_name: str, text: str = "", px: int = 64) -> Config:
    sizes = f"model.image_size={px} train.image_size={px} model.pretrained=false"
    return load_config(overrides=f"model.timm_name={timm_name} {sizes} {text}")


@pytest.mark.parametrize(
    "timm_name",
    ["vgg11", "densenet121", "dla34", "hrnet_w18_small", "efficientvit_b0", "ghostnet_050"],
)
def test_an_architecture_without_drop_path_is_not_asked_for_it(timm_name: str) -> None:
    with torch.device("meta"):
        model = build_model(_named(timm_name), 3, pretrained=False).eval()
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
        with pytest.raises(ConfigError, match=rf"model\.drop_path_rate=0\.2: {timm_name} has no"):
            build_model(_named(timm_name, "model.drop_path_rate=0.2"), 3, pretrained=False)
        with pytest.raises(ConfigError, match=rf"model\.fixed_size=True: {timm_name} has no"):
            build_model(_named(timm_name, "model.fixed_size=true"), 3, pretrained=False)


def test_no_drop_path_is_none_where_timm_has_some() -> None:
    """Swin's own default is 0.1."""
    with torch.device("meta"):
        config = _named("swin_tiny_patch4_window7_224", "model.fixed_size=true", px=224)
        model = build_model(config, 3, pretrained=False)
    assert not [part for part in model.modules() if isinstance(part, timm.layers.DropPath)]


@pytest.mark.parametrize(
    "timm_name", ["swin_tiny_patch4_window7_224", "vit_tiny_patch16_224", "inception_v3"]
)
def test_a_size_that_stops_the_forward_pass_is_refused(timm_name: str) -> None:
    state = torch.get_rng_state()
    with torch.device("meta"), pytest.raises(ConfigError) as caught:
        build_model(_named(timm_name, px=48), 3, pretrained=False)
    for part in (timm_name, "image_size=48", "train.image_size=48", "model.pool=default"):
        assert part in str(caught.value)
    assert torch.equal(torch.get_rng_state(), state)


def test_both_sizes_are_tried() -> None:
    text = "model.timm_name=vit_tiny_patch16_224 model.image_size=224 model.pretrained=false"
    with torch.device("meta"):
        build_model(load_config(overrides=f"{text} train.image_size=224"), 3, pretrained=False)
        with pytest.raises(ConfigError, match="at 192 px"):
            build_model(load_config(overrides=f"{text} train.image_size=192"), 3, pretrained=False)


def test_what_meta_tensors_cannot_tell_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    class ByValue(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images[:, :, 0, : 2 + int(images.sum().item())]

    monkeypatch.setattr(timm, "create_model", lambda name, **options: ByValue())
    assert isinstance(build_model(_named("resnet18", px=96), 3, pretrained=False), ByValue)


def test_timms_assertion_becomes_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **options: object) -> None:
        raise AssertionError("the size must be a multiple of 32")

    monkeypatch.setattr(timm, "create_model", refuse)
    config = load_config("swin_large", overrides="model.image_size=200 model.pretrained=false")
    with pytest.raises(ConfigError, match=r"model\.image_size=200 .* swin_large\S*: .* of 32"):
        build_model(config, 3, pretrained=False)


@pytest.mark.parametrize(
    ("timm_name", "expected"),
    [
        ("tf_efficientnet_lite0.in1k", {"classifier.weight", "classifier.bias"}),
        ("convnext_atto.d2_in1k", {"head.fc.weight", "head.fc.bias"}),
        ("swin_tiny_patch4_window7_224.ms_in1k", {"head.fc.weight", "head.fc.bias"}),
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", {"head.weight", "head.bias"}),
        ("resnet18.a1_in1k", {"fc.weight", "fc.bias"}),
        (
            "deit_tiny_distilled_patch16_224",
            {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"},
        ),
    ],
)
def test_classifier_parameters_names_the_classifier_alone(
    timm_name: str, expected: set[str]
) -> None:
    assert classifier_parameters(timm.create_model(timm_name, num_classes=4)) == expected

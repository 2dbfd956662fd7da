"""GeM, against its formula, and in every architecture of the plan."""

import pytest
import torch
from torch import nn

from carvision.config import load_config
from carvision.errors import ConfigError
from carvision.models import build_model
from carvision.models.pooling import GeM, put_gem
from carvision.models.timm_api import load_timm

timm = load_timm()

#: A small relative of each preset: the same code of timm at a fraction of the cost.
RELATIVES = [
    ("efficientnetv2_l", "tf_efficientnetv2_b0.in1k", 64),
    ("convnext_large", "convnext_atto.d2_in1k", 64),
    ("swin_large", "swin_tiny_patch4_window7_224.ms_in1k", 64),
    ("efficientnet_b7", "tf_efficientnet_b0.ns_jft_in1k", 64),
    ("resnet152d", "resnet18d.ra2_in1k", 64),
    ("vit_base", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", 64),
    ("efficientnet_lite0", "tf_efficientnet_lite0.in1k", 64),
]


def _features(shape=(2, 3, 4, 5), seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 7.5])
def test_the_formula(p):
    features = _features().abs() + 0.1
    expected = (features.double() ** p).mean((2, 3)) ** (1 / p)
    pooled = GeM(p, learnable=False)(features)
    assert pooled.shape == (2, 3)
    torch.testing.assert_close(pooled.double(), expected, rtol=1e-5, atol=0)


def test_the_mean_and_nearly_the_maximum():
    features = _features()
    signed_mean = GeM(1.0, learnable=False, signed=True)(features)
    torch.testing.assert_close(signed_mean, features.mean((2, 3)), rtol=1e-4, atol=1e-5)
    positive = features.abs()
    nearly = GeM(100.0, learnable=False)(positive)
    torch.testing.assert_close(nearly, positive.amax((2, 3)), rtol=0.04, atol=0)


def test_negatives_are_clamped_or_pooled_by_themselves():
    features = _features()
    clamped, signed = GeM(3.0, learnable=False), GeM(3.0, learnable=False, signed=True)
    torch.testing.assert_close(clamped(features), clamped(features.clamp_min(0)))
    torch.testing.assert_close(signed(-features), -signed(features))
    expected = clamped(features.clamp_min(0)) - clamped((-features).clamp_min(0))
    torch.testing.assert_close(signed(features), expected)


@pytest.mark.parametrize("signed", [True, False])
def test_layouts_agree(signed):
    features = _features()
    plain = GeM(3.0, learnable=False, signed=signed)(features)
    last = GeM(3.0, learnable=False, signed=signed, channels_last=True)
    torch.testing.assert_close(last(features.permute(0, 2, 3, 1)), plain)
    torch.testing.assert_close(last(features.flatten(2).transpose(1, 2)), plain)
    kept = GeM(3.0, learnable=False, signed=signed, keep_axes=True)(features)
    assert kept.shape == (2, 3, 1, 1)
    torch.testing.assert_close(kept[:, :, 0, 0], plain)


@pytest.mark.parametrize("signed", [True, False])
def test_gradients_against_finite_differences(signed):
    pool = GeM(3.0, learnable=True, signed=signed).double()
    # In float64 all the way: forward() computes in float32.
    features = _features((2, 2, 6)).double().requires_grad_()

    def pooled(x, p):
        mean = lambda y: (y.clamp_min(1e-6) ** p).mean(2) ** (1 / p)  # noqa: E731
        return mean(x) - mean(-x) if signed else mean(x)

    power = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(pooled, (features, power))
    pool = pool.float()
    ours = features.detach().float().requires_grad_()
    pool(ours[..., None]).sum().backward()
    pooled(features, power).sum().backward()
    torch.testing.assert_close(ours.grad.double(), features.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pool.p.grad.double(), power.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_does_not_overflow(dtype):
    features = torch.full((1, 2, 8, 8), 200.0, dtype=dtype)
    pooled = GeM(5.0, learnable=False)(features)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.float(), torch.full((1, 2), 200.0), rtol=1e-2, atol=0)


def test_zeros_have_a_finite_gradient():
    features = torch.zeros(1, 2, 3, 3, requires_grad=True)
    pool = GeM(3.0, learnable=True, signed=True)
    pool(features).sum().backward()
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(pool.p.grad)


@pytest.mark.parametrize(("preset", "timm_name", "px"), RELATIVES)
@pytest.mark.parametrize("learnable", [True, False])
def test_every_architecture_of_the_plan(preset, timm_name, px, learnable):
    overrides = f"model.timm_name={timm_name} model.image_size={px} model.pool=gem model.gem_p=1"
    config = load_config(preset, overrides=f"{overrides} model.gem_learnable={learnable}")
    torch.manual_seed(0)
    model = build_model(config, 5, pretrained=False).eval()
    (pool,) = [part for part in model.modules() if isinstance(part, GeM)]
    assert isinstance(pool.p, nn.Parameter) == learnable
    images = _features((2, 3, px, px))
    logits = model(images)
    assert logits.shape == (2, 5)
    logits.sum().backward()
    assert not learnable or torch.isfinite(pool.p.grad)
    # With p = 1 it is the average over positions, which these networks pool by themselves; but ViT
    # reads its class token, and SiLU lets a little through that is negative, which is clamped.
    if preset not in ("vit_base", "efficientnetv2_l", "efficientnet_b7"):
        plain = load_config(preset, overrides=overrides.replace("pool=gem", "pool=default"))
        own = build_model(plain, 5, pretrained=False).eval()
        own.load_state_dict(
            {k: v for k, v in model.state_dict().items() if not k.endswith("pool.p")}
        )
        torch.testing.assert_close(own(images), logits, rtol=1e-3, atol=1e-4)


def test_an_architecture_that_is_not_known_is_refused():
    with pytest.raises(ConfigError, match=r"pooling of Sequential is not known here"):
        put_gem(nn.Sequential(nn.Flatten()), 3.0, learnable=True)


#: Architectures whose heads expect something else of their pooling than the plan's do.
OTHERS = [
    ("regnety_002", True),
    ("repvgg_a0", True),
    ("mobilevit_xxs", True),
    ("fastvit_t8", True),
    ("mobilenetv3_small_050", True),
    ("mobilenetv4_conv_small_050", True),
    ("eva02_tiny_patch14_224", False),
    ("resnet50_clip", False),
]


@pytest.mark.parametrize(("timm_name", "known"), OTHERS)
@torch.inference_mode()
def test_other_architectures_pool_or_are_refused(timm_name, known):
    with torch.device("meta"):
        model = timm.create_model(timm_name, num_classes=5).eval()
        if known:
            put_gem(model, 3.0, learnable=True)
            assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 5)
        else:
            with pytest.raises(ConfigError, match=r"model\.pool=gem: .* set model\.pool=default"):
                put_gem(model, 3.0, learnable=True)

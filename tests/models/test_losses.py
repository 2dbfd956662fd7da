"""Losses, against torch's own cross entropy, a plain formula in float64 and finite differences."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from carvision.config import LossConfig
from carvision.models import build_loss
from carvision.models.losses import FocalLoss

SMOOTHING = [0.0, 0.1, 0.5]


def _batch(images: int = 6, classes: int = 4, scale: float = 2.0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    logits = scale * torch.randn(images, classes, generator=generator)
    return logits, torch.randint(classes, (images,), generator=generator)


def _formula(logits: np.ndarray, targets: np.ndarray, gamma: float, smoothing: float) -> float:
    """Focal loss of smoothed targets, one photo and one class at a time."""
    total = 0.0
    for row, target in zip(logits.astype(np.float64), targets, strict=True):
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        for k, share in enumerate(p):
            wanted = smoothing / len(p) + (1 - smoothing) * (k == target)
            total -= wanted * (1 - share) ** gamma * np.log(share)
    return total / len(logits)


@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_without_focus_it_is_cross_entropy(smoothing: float) -> None:
    logits, targets = _batch()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = FocalLoss(0.0, smoothing)(ours, targets)
    expected = cross_entropy(theirs, targets, label_smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_value_and_gradient_are_the_formulas(gamma: float, smoothing: float) -> None:
    logits, targets = _batch()
    ours = logits.clone().requires_grad_()
    loss = FocalLoss(gamma, smoothing)(ours, targets)
    loss.backward()
    values, wanted = logits.numpy().astype(np.float64), targets.numpy()
    assert loss.item() == pytest.approx(_formula(values, wanted, gamma, smoothing), rel=1e-5)
    # The loss computes in float32, too coarse for differences: the formula's are taken.
    gradient = np.zeros_like(values)
    for place in np.ndindex(values.shape):
        step = np.zeros_like(values)
        step[place] = 1e-5
        up = _formula(values + step, wanted, gamma, smoothing)
        down = _formula(values - step, wanted, gamma, smoothing)
        gradient[place] = (up - down) / 2e-5
    np.testing.assert_allclose(ours.grad, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("right", [True, False])
def test_extreme_logits_stay_finite(dtype: torch.dtype, gamma: float, right: bool) -> None:
    logits = torch.full((3, 5), -30.0, dtype=dtype)
    logits[:, 2] = 30.0
    logits.requires_grad_()
    targets = torch.full((3,), 2 if right else 0)
    loss = FocalLoss(gamma, 0.0)(logits, targets)
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert loss.item() == pytest.approx(0.0 if right else 60.0, abs=1e-4)
    if not right:
        # A sure mistake weighs as much as in cross entropy: it pushes at full strength.
        np.testing.assert_allclose(logits.grad[:, 0].float(), -1 / 3, rtol=1e-2)


def test_focus_lessens_what_is_known_already() -> None:
    easy, hard = torch.tensor([[4.0, 0.0]]), torch.tensor([[-4.0, 0.0]])
    target = torch.tensor([0])
    plain, focal = FocalLoss(0.0, 0.0), FocalLoss(2.0, 0.0)
    assert focal(easy, target) < 1e-3 * plain(easy, target)
    assert focal(hard, target) > 0.9 * plain(hard, target)


@pytest.mark.parametrize(
    ("name", "kind"), [("cross_entropy", torch.nn.CrossEntropyLoss), ("focal", FocalLoss)]
)
def test_the_configured_loss_is_built(name: str, kind: type) -> None:
    config = LossConfig(name=name, label_smoothing=0.2, focal_gamma=3.0)
    loss = build_loss(config)
    assert isinstance(loss, kind)
    logits, targets = _batch()
    gamma = 3.0 if name == "focal" else 0.0
    expected = _formula(logits.numpy(), targets.numpy(), gamma, 0.2)
    assert loss(logits, targets).item() == pytest.approx(expected, rel=1e-5)

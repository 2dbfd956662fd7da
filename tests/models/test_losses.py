"""Losses against torch's cross entropy, a plain formula in float64 and finite differences."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch.nn.functional import cross_entropy

from carvision.config import LossConfig
from carvision.models import build_loss
from carvision.models.losses import Loss, bi_tempered, focal, tempered_softmax

SMOOTHING = [0.0, 0.1, 0.5]


def _batch(images: int = 6, classes: int = 4, scale: float = 2.0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    logits = scale * torch.randn(images, classes, generator=generator)
    return logits, torch.randint(classes, (images,), generator=generator)


def _loss(
    name: str, *, smoothing: float = 0.0, gamma: float = 2.0, t1: float = 0.8, t2: float = 1.4
) -> Loss:
    values = {"label_smoothing": smoothing, "focal_gamma": gamma, "t1": t1, "t2": t2}
    return build_loss(LossConfig(name=name, **values))


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
    loss = _loss("focal", gamma=0.0, smoothing=smoothing)(ours, targets)
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
    loss = _loss("focal", gamma=gamma, smoothing=smoothing)(ours, targets)
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
    loss = _loss("focal", gamma=gamma)(logits, targets)
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
    plain, focal = _loss("focal", gamma=0.0), _loss("focal", gamma=2.0)
    assert focal(easy, target) < 1e-3 * plain(easy, target)
    assert focal(hard, target) > 0.9 * plain(hard, target)


#: Each with what makes it plain cross entropy.
PLAIN = [("cross_entropy", {}), ("focal", {"gamma": 0.0}), ("bi_tempered", {"t1": 1.0, "t2": 1.0})]
ALL = [("cross_entropy", {}), ("focal", {}), ("bi_tempered", {})]
ALL += [("bi_tempered", {"t1": 1.0}), ("bi_tempered", {"t2": 1.0}), ("bi_tempered", {"t1": 0.0})]


@pytest.mark.parametrize(("name", "settings"), PLAIN)
def test_what_makes_a_loss_plain_cross_entropy(name: str, settings: dict) -> None:
    logits, targets = _batch(classes=7)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, expected = _loss(name, **settings)(ours, targets), cross_entropy(theirs, targets)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_cross_entropy_is_computed_in_float32(dtype: torch.dtype, smoothing: float) -> None:
    logits, targets = _batch()
    logits = logits.to(dtype)
    loss = _loss("cross_entropy", smoothing=smoothing)(logits, targets)
    assert loss.dtype == torch.float32
    expected = _formula(logits.float().numpy(), targets.numpy(), 0.0, smoothing)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "loss",
    [
        partial(focal, gamma=2.0),
        partial(bi_tempered, t1=0.8, t2=1.4),
        partial(bi_tempered, t1=1.0, t2=1.4),
        partial(bi_tempered, t1=0.8, t2=1.0),
        partial(bi_tempered, t1=0.0, t2=1.4),
    ],
)
def test_gradients_against_finite_differences(loss: Loss, smoothing: float) -> None:
    logits, targets = _batch(images=3, classes=5)
    # In float64, where differences are fine enough.
    soft = torch.nn.functional.one_hot(targets, 5).double() * (1 - smoothing) + smoothing / 5
    assert torch.autograd.gradcheck(
        lambda x: loss(x, soft).mean(), logits.double().requires_grad_()
    )


@pytest.mark.parametrize(("name", "settings"), ALL)
def test_soft_targets(name: str, settings: dict) -> None:
    logits, targets = _batch()
    loss = _loss(name, **settings)
    hard = torch.nn.functional.one_hot(targets, 4).float()
    torch.testing.assert_close(loss(logits, hard), loss(logits, targets))
    before = hard.clone()
    other = hard.roll(1, 0)
    mixed = loss(logits, 0.3 * hard + 0.7 * other)
    torch.testing.assert_close(hard, before)
    if name != "bi_tempered":
        # Linear in the targets: MixUp's two losses, weighed.
        torch.testing.assert_close(mixed, 0.3 * loss(logits, hard) + 0.7 * loss(logits, other))


@pytest.mark.parametrize(("name", "settings"), ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("right", [True, False])
def test_sure_logits_stay_finite(
    name: str, settings: dict, dtype: torch.dtype, right: bool
) -> None:
    logits = torch.full((3, 396), -30.0, dtype=dtype)
    logits[:, 2] = 30.0
    logits.requires_grad_()
    loss = _loss(name, **settings)(logits, torch.full((3,), 2 if right else 0))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    if not right:
        assert loss.item() > 0.5


@pytest.mark.parametrize("t", [1.0, 1.1, 1.4, 2.0, 4.0])
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_tempered_softmax_against_a_root_finder(t: float, scale: float) -> None:
    logits = scale * torch.randn(4, 396, generator=torch.Generator().manual_seed(1))
    found = tempered_softmax(logits, t).numpy()
    for row, probabilities in zip(logits.double().numpy(), found, strict=True):

        def mass(shift: float, row: np.ndarray = row) -> np.ndarray:
            u = row - shift
            return np.exp(u) if t == 1 else (1 + (1 - t) * u) ** (1 / (1 - t))

        # Above the largest logit by so much that no class has more than the whole.
        shift = brentq(lambda s: mass(s).sum() - 1, row.max(), row.max() + 1e9)
        np.testing.assert_allclose(probabilities, mass(shift), rtol=2e-3, atol=1e-6)


def test_a_wrong_label_costs_a_bounded_loss() -> None:
    target = torch.tensor([0])
    costs = [
        _loss("bi_tempered")(torch.tensor([[-sure, sure]]), target).item() for sure in (5.0, 50.0)
    ]
    # At most 1 / (1 - t1), where cross entropy grows without end.
    assert costs[0] < costs[1] < 1 / (1 - 0.8)

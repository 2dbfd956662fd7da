"""Training losses of logits ``[B, classes]``: means over the batch.

Targets are class indices ``[B]`` or, where images were mixed, probabilities ``[B, classes]``. All
of them compute in float32.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from carvision.config import LossConfig


class TargetLoss(nn.Module):
    """A loss that sees every target as probabilities, smoothed by a share of equal ones."""

    def __init__(
        self,
        of_probabilities: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        label_smoothing: float,
    ) -> None:
        super().__init__()
        self._of_probabilities = of_probabilities
        self._smoothing = label_smoothing

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss, a scalar."""
        classes = logits.shape[1]
        soft = functional.one_hot(targets, classes).float() if targets.ndim == 1 else targets
        smooth = soft * (1 - self._smoothing) + self._smoothing / classes
        return self._of_probabilities(logits.float(), smooth).mean()


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``[B]`` losses of targets ``[B, classes]``; with mixed targets, MixUp's cross entropy."""
    return -(targets * logits.log_softmax(1)).sum(1)


def focal(logits: torch.Tensor, targets: torch.Tensor, gamma: float) -> torch.Tensor:
    """Focal loss (Lin et al., arXiv 1708.02002): each class's term weighed by ``(1 - p)^gamma``.

    With ``gamma`` 0 it is cross entropy.
    """
    log_p = logits.log_softmax(1)
    # expm1 keeps 1 - p exact for p near 1, where the gradient of its power matters.
    unsure = (-torch.expm1(log_p)).clamp_min(1e-12)
    return -(targets * unsure**gamma * log_p).sum(1)


def bi_tempered(logits: torch.Tensor, targets: torch.Tensor, t1: float, t2: float) -> torch.Tensor:
    """Bi-tempered logistic loss (Amid et al., arXiv 1906.03361).

    ``t1`` below 1 bounds the loss of a wrong label, ``t2`` above 1 gives the probabilities a heavy
    tail. With both 1 it is cross entropy, less the targets' own entropy.
    """
    p = tempered_softmax(logits, t2)
    # A class that is no target has a weight of 0, whatever its logarithm.
    divergence = targets * (_log_t(targets.clamp_min(1e-10), t1) - _log_t(p, t1))
    return (divergence - (targets ** (2 - t1) - p ** (2 - t1)) / (2 - t1)).sum(1)


def tempered_softmax(logits: torch.Tensor, t: float, iterations: int = 30) -> torch.Tensor:
    """``exp_t(logits - shift)``, with the shift that makes each row sum to 1; ``t`` is at least 1.

    The shift is found by the paper's fixed point. Its gradient is known: the escort distribution
    ``p^t / sum(p^t)``; so none has to pass through the iterations.
    """
    if t == 1:
        return logits.softmax(1).clamp_min(1e-30)
    with torch.no_grad():
        peak = logits.max(1, keepdim=True).values
        below = logits - peak
        scaled = below
        for _ in range(iterations):
            scaled = below * _exp_t(scaled, t).sum(1, keepdim=True) ** (1 - t)
        shift = peak - _log_t(1 / _exp_t(scaled, t).sum(1, keepdim=True), t)
        escort = _exp_t(logits - shift, t) ** t
        escort = escort / escort.sum(1, keepdim=True)
    shift = shift + (escort * (logits - logits.detach())).sum(1, keepdim=True)
    return _exp_t(logits - shift, t)


def _log_t(u: torch.Tensor, t: float) -> torch.Tensor:
    """The tempered logarithm."""
    return u.log() if t == 1 else (u ** (1 - t) - 1) / (1 - t)


def _exp_t(u: torch.Tensor, t: float) -> torch.Tensor:
    """The inverse of :func:`_log_t`."""
    return u.exp() if t == 1 else (1 + (1 - t) * u).clamp_min(0) ** (1 / (1 - t))


def build_loss(config: LossConfig) -> nn.Module:
    """The configured loss."""
    losses: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
        "cross_entropy": cross_entropy,
        "focal": partial(focal, gamma=config.focal_gamma),
        "bi_tempered": partial(bi_tempered, t1=config.t1, t2=config.t2),
    }
    return TargetLoss(losses[config.name], config.label_smoothing)

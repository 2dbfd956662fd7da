"""Training losses of logits ``[B, classes]``, as means over the batch.

Targets are class indices ``[B]`` or, where images were mixed, probabilities ``[B, classes]``. Every
loss computes in float32, whatever the precision of the logits.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from carvision.config import LossConfig

#: Maps logits and targets to a scalar.
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def build_loss(config: LossConfig) -> Loss:
    """The configured loss."""
    smoothing = config.label_smoothing
    if config.name == "focal":
        return partial(_mean, partial(focal, gamma=config.focal_gamma), smoothing)
    if config.name == "bi_tempered":
        return partial(_mean, partial(bi_tempered, t1=config.t1, t2=config.t2), smoothing)
    return partial(cross_entropy, label_smoothing=smoothing)


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """torch's cross entropy, in float32."""
    return functional.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing)


def _mean(
    loss: Loss, label_smoothing: float, logits: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """The mean of a ``loss`` of probabilities, which gives ``[B]``, with smoothed targets."""
    classes = logits.shape[1]
    soft = functional.one_hot(targets, classes).float() if targets.ndim == 1 else targets
    smooth = soft * (1 - label_smoothing) + label_smoothing / classes
    return loss(logits.float(), smooth).mean()


def focal(logits: torch.Tensor, targets: torch.Tensor, gamma: float) -> torch.Tensor:
    """Focal loss (Lin et al., arXiv 1708.02002): each class is weighted by ``(1 - p)^gamma``.

    Targets are probabilities ``[B, classes]``; returns ``[B]``. With ``gamma`` 0 it is cross
    entropy.
    """
    log_p = logits.log_softmax(1)
    # expm1 computes 1 - p exactly for p near 1, where the gradient of its power matters.
    unsure = (-torch.expm1(log_p)).clamp_min(1e-12)
    return -(targets * unsure**gamma * log_p).sum(1)


def bi_tempered(logits: torch.Tensor, targets: torch.Tensor, t1: float, t2: float) -> torch.Tensor:
    """Bi-tempered logistic loss (Amid et al., arXiv 1906.03361).

    Targets are probabilities ``[B, classes]``; returns ``[B]``. ``t1`` below 1 bounds the loss of a
    wrong label, ``t2`` above 1 gives the probabilities a heavy tail. With both 1 it is cross
    entropy minus the entropy of the targets.
    """
    p = tempered_softmax(logits, t2)
    # A class of probability 0 counts for nothing, so its logarithm may be clamped.
    divergence = targets * (_log_t(targets.clamp_min(1e-10), t1) - _log_t(p, t1))
    return (divergence - (targets ** (2 - t1) - p ** (2 - t1)) / (2 - t1)).sum(1)


def tempered_softmax(logits: torch.Tensor, t: float, iterations: int = 30) -> torch.Tensor:
    """``exp_t(logits - shift)`` with the shift that makes each row sum to 1; ``t`` is at least 1.

    The paper's fixed-point iteration finds the shift. Its gradient has a closed form, the escort
    distribution ``p^t / sum(p^t)``, so that no gradient passes through the iterations.
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

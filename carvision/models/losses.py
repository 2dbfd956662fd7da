"""Training losses of logits ``[B, classes]`` and target indices ``[B]``: means over the batch."""

import torch
from torch import nn
from torch.nn import functional

from carvision.config import LossConfig


class FocalLoss(nn.Module):
    """Focal loss (Lin et al., arXiv 1708.02002) with smoothed targets.

    With ``gamma`` 0 it is cross entropy; with smoothing, each class's term has its own factor.
    """

    def __init__(self, gamma: float, label_smoothing: float) -> None:
        super().__init__()
        self._gamma = gamma
        self._smoothing = label_smoothing

    def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss, a scalar."""
        log_p = functional.log_softmax(logits.float(), dim=1)
        classes = logits.shape[1]
        smooth = functional.one_hot(targets, classes) * (1 - self._smoothing)
        smooth = smooth + self._smoothing / classes
        # expm1 keeps 1 - p exact for p near 1, where the gradient of its power matters.
        unsure = (-torch.expm1(log_p)).clamp_min(1e-12)
        return -(smooth * unsure**self._gamma * log_p).sum(dim=1).mean()


def build_loss(config: LossConfig) -> nn.Module:
    """The configured loss."""
    if config.name == "focal":
        return FocalLoss(config.focal_gamma, config.label_smoothing)
    return nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)

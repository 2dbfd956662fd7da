"""MixUp (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al., arXiv 1905.04899), by timm."""

import numpy as np
import torch

from carvision.config.schema import MixingConfig
from carvision.models.timm_api import load_timm


class MixUp:
    """Mixes the images of a batch in pairs; what it draws depends on (seed, step) alone."""

    def __init__(self, config: MixingConfig, classes: int, seed: int) -> None:
        self._mixup = load_timm().data.Mixup(
            mixup_alpha=config.mixup_alpha,
            cutmix_alpha=config.cutmix_alpha,
            prob=config.p,
            label_smoothing=0.0,
            num_classes=classes,
        )
        self._seed = seed

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix ``[B, 3, H, W]`` and classes ``[B]``; an odd last image is left out.

        The mixed targets are probabilities ``[B, classes]``.
        """
        even = len(images) // 2 * 2
        # timm draws from numpy's global state: seeded for this batch, and restored.
        before = np.random.get_state()
        np.random.seed(np.random.SeedSequence([self._seed, step]).generate_state(1)[0])
        try:
            return self._mixup(images[:even].clone(), targets[:even])
        finally:
            np.random.set_state(before)

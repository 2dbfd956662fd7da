"""Generalised mean pooling (GeM; Radenović et al., arXiv 1711.02512) for any timm backbone.

``(mean over positions of x^p)^(1/p)``: p = 1 is the mean, a large p nearly the maximum. The power
needs what is not negative. Features that end in an activation nearly are, and are clamped, as in
the paper. Those of ConvNeXt, Swin and ViT are negative half of the time, and a clamp would throw
that half away: there the negative part is pooled by itself and taken off, ``GeM(x+) - GeM(x-)``,
which is the mean for p = 1, too.
"""

from typing import Any

import torch
from torch import nn

from carvision.errors import ConfigError

#: Below this a feature's power has no usable gradient.
_SMALLEST = 1e-6


class GeM(nn.Module):
    """Pools ``[B, C, H, W]`` to ``[B, C]``; ``channels_last`` ``[B, H, W, C]`` and ``[B, N, C]``.

    ``keep_axes`` gives ``[B, C, 1, 1]``. Computed in float32: powers of half-precision numbers
    overflow.
    """

    def __init__(
        self,
        p: float,
        *,
        learnable: bool,
        signed: bool = False,
        channels_last: bool = False,
        keep_axes: bool = False,
    ) -> None:
        super().__init__()
        power = torch.tensor(float(p))
        if learnable:
            self.p: torch.Tensor = nn.Parameter(power)
        else:
            self.register_buffer("p", power)
        self._signed = signed
        self._channels_last = channels_last
        self._keep_axes = keep_axes

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The pooled features, of the type that came in."""
        with torch.autocast(features.device.type, enabled=False):
            x = features.float()
            # Positions in one, the last, axis: [B, C, positions].
            x = x.flatten(1, -2).transpose(1, 2) if self._channels_last else x.flatten(2)
            pooled = self._mean(x) - self._mean(-x) if self._signed else self._mean(x)
        pooled = pooled.to(features.dtype)
        return pooled[:, :, None, None] if self._keep_axes else pooled

    def _mean(self, x: torch.Tensor) -> torch.Tensor:
        positive = x.clamp_min(_SMALLEST)
        # Whatever is divided by and multiplied with changes nothing, and no power overflows.
        peak = positive.detach().amax(2, keepdim=True)
        return peak[:, :, 0] * ((positive / peak) ** self.p).mean(2) ** (1 / self.p)


def put_gem(model: nn.Module, p: float, *, learnable: bool) -> None:
    """Put GeM in the place of a timm model's own global pooling.

    Raises:
        ConfigError: an architecture whose pooling stands where we do not know.
    """
    backbone: Any = model
    head: Any = getattr(backbone, "head", None)
    if isinstance(getattr(backbone, "global_pool", None), nn.Module):
        # EfficientNet, ResNet: their features end in an activation.
        backbone.global_pool = GeM(p, learnable=learnable)
    elif hasattr(head, "global_pool") and getattr(head, "input_fmt", "NCHW") == "NHWC":
        # Swin: [B, H, W, C], normalised.
        head.global_pool = GeM(p, learnable=learnable, signed=True, channels_last=True)
    elif hasattr(head, "global_pool"):
        # ConvNeXt: [B, C, H, W], normalised after pooling, as an image of one pixel.
        head.global_pool = GeM(p, learnable=learnable, signed=True, keep_axes=True)
    elif hasattr(backbone, "attn_pool") and not backbone.pool_include_prefix:
        # ViT: tokens [B, N, C], from which the class token was taken away.
        backbone.attn_pool = GeM(p, learnable=learnable, signed=True, channels_last=True)
    else:
        raise ConfigError(
            f"model.pool=gem: where {type(model).__name__} pools is not known here; "
            "set model.pool=default"
        )

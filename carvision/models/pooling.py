"""Generalised mean pooling (GeM; Radenović et al., arXiv 1711.02512) for any timm backbone.

``(mean over positions of x^p)^(1/p)``: p = 1 is the mean, a large p nearly the maximum. The power
needs values that are not negative. Features that come out of an activation hardly are, so they are
clamped, as in the paper. Half of the features of ConvNeXt, Swin and ViT are negative, and a clamp
would lose that half: there the negative part is pooled by itself and subtracted,
``GeM(x+) - GeM(x-)``, which for p = 1 is the mean, too.
"""

from typing import Any

import torch
from torch import nn

from carvision.errors import ConfigError

#: Features are clamped here: the power of a smaller one has no usable gradient.
_SMALLEST = 1e-6


class GeM(nn.Module):
    """Pools ``[B, C, H, W]`` to ``[B, C]``.

    ``signed`` pools positive and negative features apart; ``channels_last`` takes ``[B, H, W, C]``
    or ``[B, N, C]``; ``keep_axes`` returns ``[B, C, 1, 1]``. It computes in float32, because powers
    of half-precision numbers overflow.
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
        """The pooled features, in the precision of ``features``."""
        kind = features.device.type
        # Meta tensors have no autocast.
        with torch.autocast("cpu" if kind == "meta" else kind, enabled=False):
            x = features.float()
            # [B, C, positions]
            x = x.flatten(1, -2).transpose(1, 2) if self._channels_last else x.flatten(2)
            pooled = self._mean(x) - self._mean(-x) if self._signed else self._mean(x)
        pooled = pooled.to(features.dtype)
        return pooled[:, :, None, None] if self._keep_axes else pooled

    def _mean(self, x: torch.Tensor) -> torch.Tensor:
        positive = x.clamp_min(_SMALLEST)
        # Dividing by the peak, and multiplying again, keeps the power from overflowing.
        peak = positive.detach().amax(2, keepdim=True)
        return peak[:, :, 0] * ((positive / peak) ** self.p).mean(2) ** (1 / self.p)


def put_gem(model: nn.Module, p: float, *, learnable: bool) -> None:
    """Replace the global pooling of a timm model by GeM.

    Raises:
        ConfigError: it is not known where the architecture pools, or its pooling does more.
    """
    backbone: Any = model
    head: Any = getattr(backbone, "head", None)
    if isinstance(getattr(backbone, "global_pool", None), nn.Module):
        # EfficientNet, ResNet: their features come out of an activation.
        kept = _keeps_axes(model, backbone.global_pool, channels_last=False)
        backbone.global_pool = GeM(p, learnable=learnable, keep_axes=kept)
    elif isinstance(getattr(head, "global_pool", None), nn.Module):
        # Swin: [B, H, W, C], normalised before pooling. ConvNeXt: [B, C, H, W], normalised after
        # pooling, as an image of one pixel.
        last = getattr(head, "input_fmt", "NCHW") == "NHWC"
        kept = _keeps_axes(model, head.global_pool, channels_last=last)
        if kept and last:
            raise _unknown(model)
        head.global_pool = GeM(
            p, learnable=learnable, signed=True, channels_last=last, keep_axes=kept
        )
    elif getattr(backbone, "pool_include_prefix", True) is False:
        # ViT: tokens [B, N, C] without the class token.
        backbone.attn_pool = GeM(p, learnable=learnable, signed=True, channels_last=True)
    else:
        raise _unknown(model)


def _keeps_axes(model: nn.Module, pool: nn.Module, *, channels_last: bool) -> bool:
    """Whether ``pool`` returns ``[B, C, 1, 1]`` or ``[B, C]``, which the next layer expects."""
    try:
        shape = tuple(pool(torch.zeros((1, 3, 3, 2) if channels_last else (1, 2, 3, 3))).shape)
    # Attention pooling takes only the network's own number of channels or positions.
    except Exception as error:
        raise _unknown(model) from error
    if shape not in ((1, 2), (1, 2, 1, 1), (1, 1, 1, 2)):
        raise _unknown(model)
    return len(shape) == 4


def _unknown(model: nn.Module) -> ConfigError:
    return ConfigError(
        f"model.pool=gem: the pooling of {type(model).__name__} is not known here, and cannot be "
        "replaced; set model.pool=default"
    )

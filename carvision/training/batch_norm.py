"""Batch norm's running statistics, which a forward pass updates even when its step fails."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class BatchNormStatistics:
    """Saves the running statistics of a network before a step, and restores them if it fails."""

    def __init__(self, network: nn.Module) -> None:
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        buffers = [buffer for norm in norms for buffer in norm.buffers()]
        dtypes = {buffer.dtype for buffer in buffers}
        # Tensors of one dtype are copied in one call: one call each would slow a GPU's step.
        self._current = [[b for b in buffers if b.dtype == dtype] for dtype in dtypes]
        self._saved = [[torch.empty_like(b) for b in group] for group in self._current]

    def save(self) -> None:
        """Copy the statistics."""
        for saved, current in zip(self._saved, self._current, strict=True):
            torch._foreach_copy_(saved, current)

    def restore(self) -> None:
        """Put back the statistics that were saved last."""
        for saved, current in zip(self._saved, self._current, strict=True):
            torch._foreach_copy_(current, saved)

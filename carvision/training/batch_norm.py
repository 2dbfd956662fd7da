"""Batch norm's running statistics, which a forward pass changes even where its step fails."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatistics:
    """Remembers the statistics of a network's batch norms as they are before a step."""

    def __init__(self, network: nn.Module) -> None:
        norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
        buffers = [buffer for norm in norms for buffer in norm.buffers()]
        kinds = {buffer.dtype for buffer in buffers}
        # Tensors of one kind are copied at once: a call each would be felt on a GPU.
        self._present = [[b for b in buffers if b.dtype == kind] for kind in kinds]
        self._before = [[torch.empty_like(b) for b in group] for group in self._present]

    def remember(self) -> None:
        """Copy them as they are now."""
        for before, present in zip(self._before, self._present, strict=True):
            torch._foreach_copy_(before, present)

    def put_back(self) -> None:
        """Make them what they were when they were last remembered."""
        for before, present in zip(self._before, self._present, strict=True):
            torch._foreach_copy_(present, before)

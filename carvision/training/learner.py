"""What learns: the network, its moving average, the optimiser; one optimiser step at a time."""

from collections.abc import Callable
from math import ceil
from typing import Any

import torch
from torch import nn

from carvision.config import Config
from carvision.errors import CarvisionError
from carvision.inference import ComputeSettings, autocast, memory_format, to_device
from carvision.inference.memory import (
    is_out_of_memory,
    keep_freed_memory,
    release_memory,
    stay_below_swap,
)
from carvision.models import (
    Preprocessing,
    build_loss,
    build_model,
    classifier_parameters,
    preprocessing_of,
    smallest_batch,
)
from carvision.models.timm_parts import ModelEmaV3
from carvision.training.batch_norm import RunningStatistics
from carvision.training.mixup import MixUp
from carvision.training.optimizer import build_optimizer


class UpdateCutShortError(Exception):
    """Memory ran out while the weights were updated: half of them may be, and are of no use.

    ``smaller`` is how many images at a time to go on with, from the last checkpoint.
    """

    def __init__(self, smaller: int) -> None:
        super().__init__(f"out of memory in the optimiser's step; to go on with {smaller}")
        self.smaller = smaller


def grad_scaler(device: str, precision: str) -> torch.amp.GradScaler:
    """Scales losses so that fp16 gradients do not vanish; of other precisions it does nothing."""
    return torch.amp.GradScaler(device, enabled=precision == "fp16")


class Learner:
    """Trains on batches of uint8 images; gives the network, raw and averaged, to evaluate.

    A batch that does not fit into memory is tried again in halves, whose gradients add up to the
    whole one's; ``warn`` is told.

    Raises:
        CarvisionError: the network, or its average, does not fit into memory.
    """

    def __init__(
        self,
        config: Config,
        classes: int,
        compute: ComputeSettings,
        warn: Callable[[str], None],
    ) -> None:
        self._config = config
        self._device = device = compute.device
        self._precision = compute.precision
        self._layout = memory_format(device)
        self._warn = warn
        keep_freed_memory(device)
        stay_below_swap(device)
        #: Images that go through the network at a time.
        self.micro_batch = config.train.known_batch_size
        self.preprocessing: Preprocessing = preprocessing_of(config)
        model = build_model(config, classes, pretrained=config.model.pretrained)
        self._head = classifier_parameters(model)
        self._smallest = smallest_batch(model)
        self._scaler = grad_scaler(device, compute.precision)
        decay = config.train.ema_decay
        try:
            model = model.to(device, memory_format=self._layout)  # type: ignore[call-overload]
            self._average = None if decay is None else ModelEmaV3(model, decay, use_warmup=True)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise CarvisionError(
                f"{config.name}: the network and the average of its weights do not fit into the "
                "memory that is left: free some, set train.ema_decay=null, or take a smaller model="
            ) from error
        #: The network as the last step left it.
        self.network: nn.Module = model
        self._optimizer = build_optimizer(model, config.optimizer)
        self._statistics = RunningStatistics(model)
        self._peaks = [group["lr"] for group in self._optimizer.param_groups]
        self._loss = build_loss(config.loss)
        self._mixing = MixUp(config.mixing, classes, config.seed) if config.mixing.active else None

    @property
    def averaged_network(self) -> nn.Module | None:
        """The moving average of the network's weights, where one is kept."""
        return None if self._average is None else self._average.module

    def start_epoch(self, epoch: int) -> None:
        """Training mode; in the first epochs the classifier alone may learn."""
        self.network.train()
        head_alone = epoch <= self._config.train.head_first_epochs
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in self._head or not head_alone)

    def step(
        self, images: torch.Tensor, targets: torch.Tensor, step: int, lr_factor: float
    ) -> float:
        """One optimiser step (``step`` counts from 0) on ``[B, 3, H, W]``; the loss before it.

        Raises:
            CarvisionError: not even the fewest images that go through the network fit into memory.
            UpdateCutShortError: memory ran out when the weights changed already.
        """
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * lr_factor
        loss = self._accumulated(images, targets, step)
        try:
            self._update(step)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UpdateCutShortError(self._halved(len(images), error)) from error
        return loss

    def _update(self, step: int) -> None:
        """Move the weights, and their average, by the gradients that are there."""
        if self._config.train.grad_clip is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self._config.train.grad_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update(self.network, step + 1)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": None if self._average is None else self._average.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict() or None,
            "micro_batch": self.micro_batch,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self._device == "cuda" else [],
            "random_mps": torch.mps.get_rng_state() if self._device == "mps" else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state`."""
        self.network.load_state_dict(state["network"])
        if self._average is not None:
            self._average.module.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.micro_batch = state["micro_batch"]
        torch.set_rng_state(state["random"])
        # A fold may go on on another device, which has none of the states of the first one.
        if self._scaler.is_enabled() and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        if self._device == "cuda" and len(state["random_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        if self._device == "mps" and state["random_mps"] is not None:
            torch.mps.set_rng_state(state["random_mps"])

    def _accumulated(self, images: torch.Tensor, targets: torch.Tensor, step: int) -> float:
        """Gradients of the whole batch, in as many parts as memory asks for; its mean loss."""
        self._statistics.remember()
        while True:
            try:
                return self._backward(images, targets, step)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = self._halved(len(images), error)
            # Outside of the handler: the error holds on to the tensors of its frames.
            self._optimizer.zero_grad(set_to_none=True)
            self._statistics.put_back()
            release_memory(self._device)
            self._warn(
                f"out of memory with {self.micro_batch} images at a time: going on with "
                f"{smaller}; gradients add up, so that a step still sees the whole batch"
            )
            self.micro_batch = smaller

    def _halved(self, images: int, error: BaseException) -> int:
        """How many images at a time to try instead of as many as now."""
        now = min(self.micro_batch, images)
        smaller = max(now // 2, self._smallest)
        if self._parts(images, smaller) == self._parts(images, now):
            raise CarvisionError(
                f"{self._config.name}: not even {ceil(images / self._parts(images, now))} images "
                "at a time fit into memory; set model.grad_checkpointing=true or a smaller "
                "train.image_size"
            ) from error
        return smaller

    def _parts(self, images: int, at_a_time: int) -> int:
        """Parts of a batch; one may exceed ``at_a_time`` by an image, rather than be too small."""
        return min(ceil(images / at_a_time), max(1, images // self._smallest))

    def _backward(self, images: torch.Tensor, targets: torch.Tensor, step: int) -> float:
        on_device = to_device(images, self._device)
        wanted = to_device(targets, self._device)
        pixels = self.preprocessing.normalise(on_device)
        if self._mixing is not None:
            pixels, wanted = self._mixing(pixels, wanted, step)
        parts = self._parts(len(pixels), self.micro_batch)
        total = torch.zeros((), device=self._device)
        for part, own in zip(pixels.tensor_split(parts), wanted.tensor_split(parts), strict=True):
            with autocast(self._device, self._precision):
                logits = self.network(part.contiguous(memory_format=self._layout))
            loss = self._loss(logits.float(), own) * (len(part) / len(pixels))
            self._scaler.scale(loss).backward()
            total += loss.detach()
        return float(total)

"""A network in training, with its moving average: one optimiser step at a time."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from carvision.config import Config
from carvision.errors import CarvisionError
from carvision.inference import ComputeSettings, autocast, memory_format, to_device
from carvision.inference.memory import is_out_of_memory, release_memory
from carvision.models import (
    Preprocessing,
    build_loss,
    build_model,
    classifier_parameters,
    preprocessing_of,
    smallest_batch,
)
from carvision.models.timm_api import load_timm
from carvision.training.batch_norm import BatchNormStatistics
from carvision.training.learning_rate import constant_lr, schedule_learning_rate
from carvision.training.micro_batches import MicroBatches
from carvision.training.mixup import MixUp
from carvision.training.optimizer import build_optimizer


class UpdateCutShortError(Exception):
    """Memory ran out while the weights were updated: some may have moved, so none can be used.

    ``micro_batch`` is how many images at a time to go on with, from the last checkpoint.
    """

    def __init__(self, micro_batch: int) -> None:
        super().__init__(f"out of memory in the optimiser's step; to go on with {micro_batch}")
        self.micro_batch = micro_batch


def grad_scaler(device: str, precision: str) -> torch.amp.GradScaler:
    """Scales losses so that fp16 gradients do not vanish; in other precisions it does nothing."""
    return torch.amp.GradScaler(device, enabled=precision == "fp16")


class Learner:
    """Trains a network, raw and averaged, on batches of uint8 images.

    ``lr_factor`` maps a step (from 0) to the learning rate's share of its peak. A batch that does
    not fit into memory is tried again in halves, whose gradients add up to those of the whole
    batch; ``warn`` receives a message then.

    Raises:
        CarvisionError: the network and its average do not fit into memory.
    """

    def __init__(
        self,
        config: Config,
        classes: int,
        compute: ComputeSettings,
        warn: Callable[[str], None],
        lr_factor: Callable[[int], float] = constant_lr,
    ) -> None:
        self._config = config
        self.device = compute.device
        self.precision = compute.precision
        self._layout = memory_format(compute.device)
        self._warn = warn
        self.preprocessing: Preprocessing = preprocessing_of(config)
        #: The network as the last step left it.
        self.network: nn.Module = build_model(config, classes, pretrained=config.model.pretrained)
        self._classifier = classifier_parameters(self.network)
        self._micro_batches = MicroBatches(
            config.train.known_batch_size, smallest_batch(self.network)
        )
        self._average = self._move_to_device()
        self._optimizer = build_optimizer(self.network, config.optimizer)
        self._scheduler = schedule_learning_rate(self._optimizer, lr_factor)
        self._scaler = grad_scaler(compute.device, compute.precision)
        self._batch_norm = BatchNormStatistics(self.network)
        self._loss = build_loss(config.loss)
        self._mixup = MixUp(config.mixing, classes, config.seed) if config.mixing.active else None

    @property
    def averaged_network(self) -> nn.Module | None:
        """The moving average of the network's weights, where one is kept."""
        return None if self._average is None else self._average.module

    @property
    def lr(self) -> float:
        """The learning rate of the next step, before any factor of a layer or the classifier."""
        # build_optimizer puts no factor on the first group.
        return float(self._scheduler.get_last_lr()[0])

    @property
    def micro_batch(self) -> int:
        """How many images go through the network at a time."""
        return self._micro_batches.size

    @micro_batch.setter
    def micro_batch(self, images: int) -> None:
        self._micro_batches.size = images

    def start_epoch(self, epoch: int) -> None:
        """Switch to training mode; in the first epochs the classifier alone may learn."""
        self.network.train()
        classifier_alone = epoch <= self._config.train.head_first_epochs
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in self._classifier or not classifier_alone)

    def step(self, images: torch.Tensor, targets: torch.Tensor) -> float:
        """Do an optimiser step on ``[B, 3, H, W]``; return the loss before it.

        Raises:
            CarvisionError: not even the smallest micro-batch fits into memory.
            UpdateCutShortError: memory ran out after weights began to change.
        """
        loss = self._accumulate_gradients(images, targets)
        try:
            self._update()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UpdateCutShortError(self._halved(len(images), error)) from error
        return loss

    def _accumulate_gradients(self, images: torch.Tensor, targets: torch.Tensor) -> float:
        """Compute the gradients of the whole batch, in micro-batches; return its mean loss."""
        self._batch_norm.save()
        while True:
            try:
                return self._forward_and_backward(images, targets)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                smaller = self._halved(len(images), error)
            # Outside of the handler: the error holds on to the tensors of its frames.
            self._optimizer.zero_grad(set_to_none=True)
            self._batch_norm.restore()
            release_memory(self.device)
            self._warn(
                f"out of memory with {self.micro_batch} images at a time: going on with "
                f"{smaller}; gradients add up, so that a step still sees the whole batch"
            )
            self.micro_batch = smaller

    def _forward_and_backward(self, images: torch.Tensor, targets: torch.Tensor) -> float:
        on_device = to_device(images, self.device)
        wanted = to_device(targets, self.device)
        pixels = self.preprocessing.normalise(on_device)
        if self._mixup is not None:
            pixels, wanted = self._mixup(pixels, wanted, step=self._steps_done)
        total = torch.zeros((), device=self.device)
        split = self._micro_batches.split
        for part, part_wanted in zip(split(pixels), split(wanted), strict=True):
            with autocast(self.device, self.precision):
                logits = self.network(part.contiguous(memory_format=self._layout))
            loss = self._loss(logits, part_wanted) * (len(part) / len(pixels))
            self._scaler.scale(loss).backward()
            total += loss.detach()
        return float(total)

    def _update(self) -> None:
        """Move the weights by their gradients, then the learning rate and the average."""
        if self._config.train.grad_clip is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self._config.train.grad_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._scheduler.step()
        if self._average is not None:
            self._average.update(self.network, self._steps_done)

    @property
    def _steps_done(self) -> int:
        # An epoch of torch's scheduler is a step of ours.
        return self._scheduler.last_epoch

    def _halved(self, images: int, error: BaseException) -> int:
        """Half the images at a time, or the ``error`` that they cannot be fewer."""
        smaller = self._micro_batches.halved(images)
        if smaller is None:
            raise CarvisionError(
                f"{self._config.name}: not even {self._micro_batches.largest(images)} images at a "
                "time fit into memory; set model.grad_checkpointing=true or a smaller "
                "train.image_size"
            ) from error
        return smaller

    def _move_to_device(self) -> Any:
        """Move the network to its device; return its average there, where one is kept."""
        decay = self._config.train.ema_decay
        try:
            self.network.to(self.device, memory_format=self._layout)  # type: ignore[call-overload]
            if decay is None:
                return None
            return load_timm().utils.ModelEmaV3(self.network, decay, use_warmup=True)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise CarvisionError(
                f"{self._config.name}: the network and the average of its weights do not fit into "
                "the memory that is left: free some, set train.ema_decay=null, or take a smaller "
                "model="
            ) from error

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": None if self._average is None else self._average.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "scaler": self._scaler.state_dict() or None,
            "micro_batch": self.micro_batch,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if self.device == "cuda" else [],
            "random_mps": torch.mps.get_rng_state() if self.device == "mps" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.network.load_state_dict(state["network"])
        if self._average is not None:
            self._average.module.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self.micro_batch = state["micro_batch"]
        torch.set_rng_state(state["random"])
        # A fold may go on on another device, for which the first one left no state.
        if self._scaler.is_enabled() and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        if self.device == "cuda" and len(state["random_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        if self.device == "mps" and state["random_mps"] is not None:
            torch.mps.set_rng_state(state["random_mps"])

"""The training loop of one fold: steps, epochs, validation, checkpoints."""

import logging
import time
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from carvision.contracts import Tracker
from carvision.inference import device_name
from carvision.inference.memory import memory_used, reset_peak_memory
from carvision.training.batches import TrainingBatches
from carvision.training.best_checkpoint import BestCheckpoint
from carvision.training.checkpoint import CheckpointWriter
from carvision.training.divergence import divergence_error, has_diverged
from carvision.training.early_stopping import EarlyStopping
from carvision.training.fold_result import FoldResult
from carvision.training.interrupts import deferred_interrupts
from carvision.training.job import FoldJob
from carvision.training.learner import Learner
from carvision.training.train_state import TrainState
from carvision.training.validation import Evaluation, Validation

log = logging.getLogger(__name__)


class Trainer:
    """Runs the training of a fold; :func:`carvision.training.builder.build_trainer` builds it."""

    def __init__(
        self,
        job: FoldJob,
        learner: Learner,
        batches: TrainingBatches,
        validation: Validation,
        total_steps: int,
        tracker: Tracker,
    ) -> None:
        self._job = job
        self._learner = learner
        self._batches = batches
        self._validation = validation
        self._total_steps = total_steps
        self._tracker = tracker
        self._checkpoints = CheckpointWriter(job.folder)
        self._best = BestCheckpoint(job.folder)
        self._early_stopping = EarlyStopping(job.config.train.early_stopping)
        self._state = TrainState()
        self._checkpoint_time = time.monotonic()

    def restore(self, path: Path, saved: dict[str, Any]) -> None:
        """Go on from ``saved``, the content of the checkpoint ``path``."""
        self._learner.load_state_dict(saved["learner"])
        self._best.load_state_dict(saved["best"])
        self._early_stopping.load_state_dict(saved["early_stopping"])
        self._state = state = TrainState(**saved["train_state"])
        where = f"epoch {state.epoch}, step {state.step} of {self._total_steps}"
        log.info("%s: going on from %s, %s", self._job.name, path, where)

    def run(self) -> FoldResult:
        """Train what is left of the epochs, then predict with the best weights."""
        device, precision = self._learner.device, self._learner.precision
        # The fold before this one, or the search for a batch size, may have needed more.
        reset_peak_memory(device)
        log.info("%s: training on %s in %s", self._job.name, device_name(device), precision)
        self._tracker.run_started(self._job.name, self._total_steps)
        try:
            while not self._finished:
                self._validate_epoch(self._train_epoch())
        except KeyboardInterrupt:
            self._checkpoint_on_interrupt()
            raise
        finally:
            # However training ended, nothing may write into the folder any more.
            self._checkpoints.wait()
        return self._result()

    @property
    def _finished(self) -> bool:
        between_epochs = self._state.images == 0
        done = self._state.step >= self._total_steps or self._early_stopping.should_stop
        return between_epochs and done

    @property
    def _epoch_steps_left(self) -> int:
        in_epoch = self._batches.steps_per_epoch - self._state.steps
        return min(in_epoch, self._total_steps - self._state.step)

    def _train_epoch(self) -> dict[str, float]:
        """Train what is left of the epoch; return its training metrics."""
        state = self._state
        self._learner.start_epoch(state.epoch)
        started, seen_before = time.perf_counter(), state.images
        with self._batches.of_epoch(state.epoch, start=state.images) as batches:
            # No steps are left where training was interrupted before the validation of the epoch.
            for images, targets in batches if self._epoch_steps_left else ():
                with deferred_interrupts():
                    self._step(images, targets)
                self._tracker.step_ended(state.step, state.mean_loss)
                if not self._epoch_steps_left:
                    break
                if self._checkpoint_is_due:
                    self._checkpoint()
        seconds = time.perf_counter() - started
        return {
            "train/loss": state.mean_loss,
            "lr": state.lr,
            "images_per_second": (state.images - seen_before) / seconds,
            "memory_gib": memory_used(self._learner.device),
        }

    def _step(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        """Do an optimiser step and count it.

        Raises:
            DivergedError: the loss exploded.
        """
        lr = self._learner.lr
        loss = self._learner.step(images, targets)
        self._state.count_step(len(images), loss, lr)
        if has_diverged(loss, len(self._job.manifest.classes.names)):
            first = self._state.images - len(images)
            image_ids = self._batches.image_ids(first, len(images))
            raise divergence_error(self._job, self._state, "loss", loss, image_ids)

    def _validate_epoch(self, training_metrics: dict[str, float]) -> None:
        """Evaluate the network and its average, record the better one, checkpoint."""
        networks = {"raw": self._learner.network}
        if self._learner.averaged_network is not None:
            networks["averaged"] = self._learner.averaged_network
        evaluations = dict(
            zip(networks, self._validation.evaluate(list(networks.values())), strict=True)
        )
        self._refuse_ruined_weights(evaluations)
        kind = min(evaluations, key=lambda kind: evaluations[kind].loss)
        losses = {f"val/log_loss_{name}": found.loss for name, found in evaluations.items()}
        metrics = training_metrics | evaluations[kind].metrics | losses
        epoch = self._state.epoch
        # All that a checkpoint holds of the epoch changes at once. Trackers hear of it before the
        # checkpoint is written: a kill in between reports the epoch twice, rather than never.
        with deferred_interrupts():
            self._best.record(epoch, kind == "averaged", networks[kind], evaluations[kind])
            if self._early_stopping.update(metrics["train/loss"], metrics["val/log_loss"]):
                self._tracker.warning(
                    f"{self._job.name} overfits: for two epochs validation got worse while "
                    f"training got better; the best is epoch {self._best.best.epoch}"
                )
            self._tracker.epoch_ended(epoch, metrics)
            self._state = self._state.next_epoch()
        self._checkpoint()

    def _refuse_ruined_weights(self, evaluations: dict[str, Evaluation]) -> None:
        """Refuse weights that the last step ruined, which no training loss shows any more.

        Raises:
            DivergedError: predictions are not finite.
        """
        for evaluation in evaluations.values():
            if not isfinite(total := float(evaluation.log_p.sum())):
                raise divergence_error(self._job, self._state, "validation", total)

    @property
    def _checkpoint_is_due(self) -> bool:
        minutes = self._job.config.train.checkpoint_minutes
        return bool(minutes) and time.monotonic() - self._checkpoint_time > 60 * minutes

    def _checkpoint(self) -> None:
        state = {
            "identity": self._job.identity,
            "batch_size": self._batches.batch_size,
            "learner": self._learner.state_dict(),
            "best": self._best.state_dict(),
            "early_stopping": self._early_stopping.state_dict(),
            "train_state": asdict(self._state),
        }
        self._checkpoints.write(self._state.step, state)
        self._best.checkpoint_started()
        self._checkpoint_time = time.monotonic()

    def _checkpoint_on_interrupt(self) -> None:
        """Checkpoint where training was interrupted: between two steps.

        If it fails, a warning says so, and the interrupt goes on.
        """
        # Without the first wait, the error of the checkpoint before would keep this one from being
        # tried, though there may be room by now.
        for attempt in (self._checkpoints.wait, self._checkpoint, self._checkpoints.wait):
            try:
                attempt()
            # Trackers are not told: they write to the disk that may have refused.
            except Exception as error:
                log.warning("%s: stopping in spite of this: %s", self._job.name, error)

    def _result(self) -> FoldResult:
        best = self._best.best
        predictions, measured = self._best.predictions(self._learner.network, self._validation)
        return FoldResult(
            fold=self._job.fold,
            best_epoch=best.epoch,
            averaged=best.averaged,
            batch_size=self._batches.batch_size,
            metrics=best.metrics,
            weights=self._best.final_weights(),
            predictions=predictions,
            epochs_true_class=self._best.epochs_true_class,
            measured=measured,
        )

"""The loop of one fold's training: steps, epochs, checkpoints, and going on from one."""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from carvision.contracts import Tracker
from carvision.data.loading.loader import Batch, PhotoLoader
from carvision.data.loading.training_photos import EpochSampler, training_loader
from carvision.errors import DataError, DivergedError
from carvision.inference import ComputeSettings, device_name
from carvision.inference.memory import forget_peak_memory, memory_used
from carvision.training.batch_size import largest_batch
from carvision.training.best_checkpoint import BestCheckpoint
from carvision.training.checkpoint import CheckpointFolder
from carvision.training.divergence import is_sound, ruined
from carvision.training.early_stopping import EarlyStopping
from carvision.training.fold_result import FoldResult
from carvision.training.identity import refuse_another
from carvision.training.interrupts import deferred_interrupts
from carvision.training.job import FoldJob
from carvision.training.learner import Learner
from carvision.training.photos import training_photos
from carvision.training.schedule import lr_factor
from carvision.training.train_state import TrainState
from carvision.training.validation import Validation, trial_rows

log = logging.getLogger(__name__)


class FoldTraining:
    """The state of one fold's training: :func:`carvision.training.train_fold` says what it does.

    ``at_a_time`` is how many images may go through the network together, where that is known.
    """

    def __init__(
        self,
        job: FoldJob,
        tracker: Tracker,
        batch_size: int | None,
        at_a_time: int | None,
    ) -> None:
        config, manifest, fold, root = job.config, job.manifest, job.fold, job.root
        self._fold = fold
        self._tracker = tracker
        self._best = BestCheckpoint(job.folder)
        self._checkpoints = CheckpointFolder(job.folder)
        self._identity = job.identity
        rows, validation = manifest.split(fold)
        if len(rows) < 2 or validation.empty:
            raise DataError(f"fold {fold}: too few photos to train and validate on")
        self._ids = rows["image_id"].tolist()
        self._classes = len(manifest.classes.names)
        compute = replace(ComputeSettings.of(config), precision=job.precision)
        self._device, self._precision = compute.device, compute.precision
        found = self._found()
        if found is not None:
            batch_size = found[1]["batch_size"]
        elif config.train.batch_size != "auto":
            batch_size = config.train.batch_size
        elif batch_size is None:
            batch_size = largest_batch(config, self._classes, compute, len(rows))
        self._config = config = config.with_batch_size(batch_size)
        self._batch_size = batch_size
        # Folds differ in their photos, and need no equal start.
        torch.manual_seed(config.seed * 1000 + fold)
        self._learner = Learner(config, self._classes, compute, tracker.warning)
        # The fold before this one, or the search for a batch that fits, may have taken more.
        forget_peak_memory(compute.device)
        step_images = batch_size * config.train.accumulation
        self._sampler = EpochSampler(len(rows), config.seed)
        photos = training_photos(config, rows, root, job.cache)
        self._loader: PhotoLoader[Batch] = training_loader(
            photos, self._sampler, step_images, config.loader, compute.device
        )
        self._steps_per_epoch = len(self._loader)
        planned = config.train.epochs * self._steps_per_epoch
        self._total_steps = min(planned, config.train.max_steps or planned)
        if self._total_steps < planned:
            validation = trial_rows(validation, self._total_steps * step_images, config.seed)
        preprocessing = self._learner.preprocessing
        self._validation = Validation(validation, root, preprocessing, compute, tracker)
        self._state = TrainState()
        self._early_stopping = EarlyStopping(config.train.early_stopping)
        self._written_at = time.monotonic()
        if found is not None:
            self._go_on(*found)
        if at_a_time is not None:
            self._learner.micro_batch = min(at_a_time, self._learner.micro_batch)

    @property
    def _name(self) -> str:
        return f"{self._config.name} fold {self._fold}"

    def run(self) -> FoldResult:
        """Train what is left of the epochs, then predict with the best weights."""
        log.info("%s: training on %s in %s", self._name, device_name(self._device), self._precision)
        self._tracker.run_started(self._name, self._total_steps)
        try:
            while not self._finished:
                trained = self._train_epoch()
                self._end_epoch(trained)
        except KeyboardInterrupt:
            self._checkpoint_once_more()
            raise
        finally:
            # Whatever ended it, nothing writes into the folder any more.
            self._checkpoints.wait()
        return self._result()

    @property
    def _finished(self) -> bool:
        between_epochs = self._state.images == 0
        done = self._state.step >= self._total_steps or self._early_stopping.should_stop
        return between_epochs and done

    def _found(self) -> tuple[Path, dict[str, Any]] | None:
        """The checkpoint to go on from."""

        def usable(path: Path, state: dict[str, Any]) -> bool:
            refuse_another(path, _identity_in(state), self._identity)
            return self._best.is_there(state["best"])

        return self._checkpoints.newest(usable)

    def _go_on(self, path: Path, state: dict[str, Any]) -> None:
        self._learner.restore(state["learner"])
        self._state = TrainState(**state["train_state"])
        self._best.restore(state["best"])
        self._early_stopping.restore(state["early_stopping"])
        log.info(
            "%s: going on from %s, epoch %d, step %d of %d",
            self._name,
            path,
            self._state.epoch,
            self._state.step,
            self._total_steps,
        )

    def _checkpoint(self) -> None:
        state = {
            "identity": self._identity,
            "batch_size": self._batch_size,
            "learner": self._learner.state(),
            "train_state": asdict(self._state),
            "best": self._best.state(),
            "early_stopping": self._early_stopping.state(),
        }
        self._checkpoints.write(self._state.step, state)
        self._best.checkpointed()
        self._written_at = time.monotonic()

    def _checkpoint_once_more(self) -> None:
        """Checkpoint where it was interrupted; what is wrong with that is said and stops nothing.

        It came between two steps: what is in memory belongs together.
        """
        # The error of the one before would keep this one from being tried, and there may be room.
        for attempt in (self._checkpoints.wait, self._checkpoint, self._checkpoints.wait):
            try:
                attempt()
            # Not to the trackers: they write on the disk that may have refused.
            except Exception as error:
                log.warning("%s: stopping in spite of this: %s", self._name, error)

    def _train_epoch(self) -> dict[str, float]:
        position = self._state
        self._sampler.epoch = position.epoch
        self._sampler.start = position.images
        self._learner.start_epoch(position.epoch)
        started, seen_before = time.perf_counter(), position.images
        minutes = self._config.train.checkpoint_minutes
        factor = self._lr_factor(max(0, position.step - 1))
        # None are left where training was stopped between the last one and validation.
        with self._loader.watched():
            for images, targets in self._loader if self._steps_left else ():
                with deferred_interrupts():
                    factor = self._lr_factor(position.step)
                    loss = self._learner.step(images, targets, position.step, factor)
                    self._check_loss(loss, len(images))
                    position.step += 1
                    position.images += len(images)
                    position.steps += 1
                    position.loss_sum += loss
                self._tracker.step_ended(position.step, position.loss_sum / position.steps)
                if not self._steps_left:
                    break
                if minutes and time.monotonic() - self._written_at > 60 * minutes:
                    self._checkpoint()
        return {
            "train/loss": position.loss_sum / position.steps,
            "lr": self._config.optimizer.lr * factor,
            "images_per_second": (position.images - seen_before) / (time.perf_counter() - started),
            "memory_gib": memory_used(self._device),
        }

    @property
    def _steps_left(self) -> int:
        """In this epoch."""
        of_epoch = self._steps_per_epoch - self._state.steps
        return min(of_epoch, self._total_steps - self._state.step)

    def _end_epoch(self, trained: dict[str, float]) -> None:
        """Score the network and its average, keep the better if it is the best, checkpoint."""
        networks = {"raw": self._learner.network}
        if self._learner.averaged_network is not None:
            networks["averaged"] = self._learner.averaged_network
        each_score = self._validation.score_each(list(networks.values()))
        scores = dict(zip(networks, each_score, strict=True))
        for score in scores.values():
            # The last step may have ruined the weights without a loss to show it.
            if not isfinite(score.log_p.sum()):
                raise self._ruined("validation", float(score.log_p.sum()), self._state.step)
        kind = min(scores, key=lambda kind: scores[kind].loss)
        score, epoch = scores[kind], self._state.epoch
        each = {f"val/log_loss_{kind}": score.loss for kind, score in scores.items()}
        metrics = trained | score.metrics | each
        # What a checkpoint holds of this epoch changes at once; trackers are told before it is
        # written: a kill in between tells them twice, rather than never.
        with deferred_interrupts():
            self._best.take(epoch, kind == "averaged", networks[kind], score)
            if self._early_stopping.overfits(metrics):
                self._tracker.warning(
                    f"{self._name} overfits: for two epochs validation got worse while training "
                    f"got better; the best is epoch {self._best.best.epoch}"
                )
            self._tracker.epoch_ended(epoch, metrics)
            self._state = TrainState(epoch + 1, self._state.step)
        self._checkpoint()

    def _result(self) -> FoldResult:
        best = self._best.best
        predictions, measured = self._best.predictions(self._learner.network, self._validation)
        return FoldResult(
            fold=self._fold,
            best_epoch=best.epoch,
            averaged=best.averaged,
            batch_size=self._batch_size,
            metrics=best.metrics,
            weights=self._best.final_weights(),
            predictions=predictions,
            epochs_true_class=self._best.epochs_true_class,
            measured=measured,
        )

    def _lr_factor(self, step: int) -> float:
        schedule = self._config.schedule
        floor = schedule.eta_min / self._config.optimizer.lr
        return lr_factor(step, self._steps_per_epoch, self._total_steps, schedule, floor)

    def _check_loss(self, loss: float, images: int) -> None:
        if not is_sound(loss, self._classes):
            first = self._state.images
            order = self._sampler.order()[first : first + images]
            names = [self._ids[index] for index in order]
            raise self._ruined("loss", loss, self._state.step + 1, names)

    def _ruined(
        self, what: str, value: float, step: int, images: Sequence[str] = ()
    ) -> DivergedError:
        return ruined(
            what,
            value,
            config=self._config,
            fold=self._fold,
            epoch=self._state.epoch,
            step=step,
            images=images,
        )


def _identity_in(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's identity; versions before this one wrote it as JSON."""
    found = state["identity"]
    return json.loads(found) if isinstance(found, str) else found

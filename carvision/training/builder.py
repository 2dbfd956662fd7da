"""Builds the trainer of a fold from its job, in the state of its newest checkpoint."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from carvision.config import Config
from carvision.contracts import Tracker
from carvision.errors import DataError
from carvision.inference import ComputeSettings, resolve_precision
from carvision.training.auto_batch_size import largest_batch
from carvision.training.batches import TrainingBatches
from carvision.training.best_checkpoint import has_best_weights
from carvision.training.checkpoint import newest_checkpoint
from carvision.training.identity import refuse_another
from carvision.training.job import FoldJob
from carvision.training.learner import Learner
from carvision.training.learning_rate import lr_factor
from carvision.training.photos import training_photos
from carvision.training.trainer import Trainer
from carvision.training.validation import Validation, smoke_run_rows


def build_trainer(
    job: FoldJob, tracker: Tracker, batch_size: int | None, micro_batch: int | None
) -> Trainer:
    """Build batches, learner and validation, and restore the newest checkpoint if there is one.

    ``batch_size`` is what ``train.batch_size=auto`` found in another fold of the set;
    ``micro_batch`` is the most images at a time that are known to fit into memory.

    Raises:
        DataError: the fold has too few photos.
        ConfigError: the checkpoint is of another configuration, or of other data.
        CarvisionError: the weights cannot be read, or the network does not fit into memory.
    """
    rows, validation_rows = job.manifest.split(job.fold)
    if len(rows) < 2 or validation_rows.empty:
        raise DataError(f"fold {job.fold}: too few photos to train and validate on")
    compute = ComputeSettings.of(job.config)
    # The job's own precision, which may have been resolved on another machine.
    compute = replace(compute, precision=resolve_precision(job.precision, compute.device))

    saved = _newest_checkpoint(job)
    if saved is not None:
        batch_size = saved[1]["batch_size"]
    elif batch_size is None or job.config.train.batch_size != "auto":
        batch_size = _batch_size(job, compute, len(rows))
    config = job.config.with_batch_size(batch_size)

    photos = training_photos(config, rows, job.root, job.cache)
    batches = TrainingBatches(photos, rows["image_id"].tolist(), config, compute.device)
    planned = config.train.epochs * batches.steps_per_epoch
    total_steps = min(planned, config.train.max_steps or planned)

    # Everything that is drawn at random is drawn from here on, on each fold from another seed.
    torch.manual_seed(config.seed * 1000 + job.fold)
    schedule = _schedule(config, batches.steps_per_epoch, total_steps)
    classes = len(job.manifest.classes.names)
    learner = Learner(config, classes, compute, tracker.warning, schedule)

    if total_steps < planned:
        trained_on = total_steps * batches.images_per_step
        validation_rows = smoke_run_rows(validation_rows, trained_on, config.seed)
    validation = Validation(validation_rows, job.root, learner.preprocessing, compute, tracker)

    trainer = Trainer(job, learner, batches, validation, total_steps, tracker)
    if saved is not None:
        trainer.restore(*saved)
    if micro_batch is not None:
        learner.micro_batch = min(micro_batch, learner.micro_batch)
    return trainer


def _batch_size(job: FoldJob, compute: ComputeSettings, photos: int) -> int:
    """The configured batch size; for ``auto`` the largest that fits."""
    if job.config.train.batch_size != "auto":
        return job.config.train.batch_size
    return largest_batch(job.config, len(job.manifest.classes.names), compute, photos)


def _schedule(config: Config, steps_per_epoch: int, total_steps: int) -> Callable[[int], float]:
    """The learning rate's factor at a step."""
    return partial(
        lr_factor,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        schedule=config.schedule,
        floor=config.schedule.eta_min / config.optimizer.lr,
    )


def _newest_checkpoint(job: FoldJob) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint of the job that is whole, with its best weights.

    Raises:
        ConfigError: it is of another job.
    """

    def usable(path: Path, state: dict[str, Any]) -> bool:
        refuse_another(path, _identity_in(state), job.identity)
        return has_best_weights(job.folder, state["best"])

    return newest_checkpoint(job.folder, usable)


def _identity_in(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's identity; versions before this one wrote it as JSON."""
    found = state["identity"]
    return json.loads(found) if isinstance(found, str) else found

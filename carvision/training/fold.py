"""Train one backbone on one fold: the loop, the best checkpoint, the out-of-fold predictions."""

import time
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from carvision.config import Config
from carvision.contracts import VIEWS, Predictions, Tracker
from carvision.data.batches import EpochSampler
from carvision.data.cache import PhotoCache
from carvision.data.loader import Batch, PhotoLoader, training_loader
from carvision.data.manifest import Manifest
from carvision.errors import CarvisionError, DataError
from carvision.files import replacing
from carvision.inference import Engine, predict_views
from carvision.metrics import validation_metrics
from carvision.models import Preprocessing, build_loss, build_model, preprocessing_of
from carvision.training.accelerator import make_accelerator
from carvision.training.optimizer import build_optimizer
from carvision.training.photos import training_photos
from carvision.training.schedule import lr_factor


@dataclass(frozen=True)
class FoldResult:
    """The best epoch of a fold: its metrics, its weights, its out-of-fold predictions."""

    fold: int
    best_epoch: int
    metrics: dict[str, float]
    weights: Path
    predictions: Predictions


def train_fold(
    config: Config,
    manifest: Manifest,
    root: Path,
    fold: int,
    folder: Path,
    tracker: Tracker,
    cache: PhotoCache | None = None,
) -> FoldResult:
    """Train on all folds but ``fold``; weights go to ``folder``.

    Training reads ``cache`` where there is one; validation reads the files, as the test will.

    The best epoch is the one of the lowest validation log loss. Its predictions cover all views of
    every validation photo; in a trial run (``train.max_steps``), of no more validation photos than
    the run trained on.

    Raises:
        CarvisionError: the loss is no longer finite, or a photo or the weights cannot be read.
    """
    return _FoldTraining(config, manifest, root, fold, folder, tracker, cache).run()


class _FoldTraining:
    """The state of one fold's training."""

    def __init__(
        self,
        config: Config,
        manifest: Manifest,
        root: Path,
        fold: int,
        folder: Path,
        tracker: Tracker,
        cache: PhotoCache | None,
    ) -> None:
        self._config = config
        self._fold = fold
        self._tracker = tracker
        self._weights = folder / "best.safetensors"
        self._engine = Engine.of(config)
        device = self._engine.device
        # Folds differ in their photos, and need no equal start.
        torch.manual_seed(config.seed * 1000 + fold)
        rows, validation = manifest.split(fold)
        if len(rows) < 2 or validation.empty:
            raise DataError(f"fold {fold}: too few photos to train and validate on")
        self._sampler = EpochSampler(len(rows), config.seed)
        self._loader: PhotoLoader[Batch] = training_loader(
            training_photos(config, rows, root, cache),
            self._sampler,
            config.train.batch_size,
            config.loader,
            device,
        )
        self._preprocessing: Preprocessing = preprocessing_of(config)
        model = build_model(config, len(manifest.classes.names), pretrained=config.model.pretrained)
        self._accelerator = make_accelerator(device, self._engine.precision)
        model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = build_optimizer(model, config.optimizer)
        self._model: nn.Module
        self._model, self._optimizer = self._accelerator.prepare(model, optimizer)
        self._peaks = [group["lr"] for group in optimizer.param_groups]
        self._loss = build_loss(config.loss)
        planned = config.train.epochs * len(self._loader)
        self._total_steps = min(planned, config.train.max_steps or planned)
        self._step = 0
        if self._total_steps < planned:
            validation = _trial_rows(
                validation, self._total_steps * config.train.batch_size, config.seed
            )
        self._validation = validation
        self._sources: list[Path | bytes] = [root / path for path in validation["path"]]

    def run(self) -> FoldResult:
        """Train all epochs, then predict with the best weights."""
        description = f"{self._config.name} fold {self._fold}"
        self._tracker.run_started(description, self._total_steps)
        best: tuple[int, dict[str, float], NDArray[np.float32]] | None = None
        epoch = 0
        while self._step < self._total_steps:
            epoch += 1
            trained = self._train_epoch(epoch)
            log_p = self._predict(VIEWS[:1])
            # The last step may have ruined the weights without a loss to show it.
            self._check_finite("validation", float(log_p.sum()), epoch)
            metrics = validation_metrics(log_p[0], self._targets)
            if best is None or metrics["val/log_loss"] < best[1]["val/log_loss"]:
                best = (epoch, metrics, log_p)
                self._write_weights(epoch)
            self._tracker.epoch_ended(epoch, trained | metrics)
        assert best is not None  # a run has at least one step
        best_epoch, metrics, log_p = best
        if best_epoch != epoch:
            self._bare_model().load_state_dict(load_file(self._weights))
        # The best epoch's original view is known already.
        rest = self._predict(VIEWS[1:])
        index = self._validation[["image_id", "class_index", "fold"]].reset_index(drop=True)
        both = torch.cat([torch.from_numpy(log_p), torch.from_numpy(rest)]).numpy()
        predictions = Predictions(index, VIEWS, both)
        return FoldResult(self._fold, best_epoch, metrics, self._weights, predictions)

    @property
    def _targets(self) -> NDArray[np.int64]:
        return self._validation["class_index"].to_numpy()

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        self._sampler.epoch = epoch
        self._model.train()
        started = time.perf_counter()
        images_seen = steps = 0
        total_loss = 0.0
        for images, targets in self._loader:
            factor = self._set_learning_rate()
            value = self._train_step(images, targets)
            self._step += 1
            self._check_finite("loss", value, epoch)
            steps += 1
            images_seen += len(images)
            total_loss += value
            self._tracker.step_ended(self._step, total_loss / steps)
            if self._step >= self._total_steps:
                break
        return {
            "train/loss": total_loss / steps,
            "lr": self._config.optimizer.lr * factor,
            "images_per_second": images_seen / (time.perf_counter() - started),
        }

    def _check_finite(self, what: str, value: float, epoch: int) -> None:
        if not isfinite(value):
            raise CarvisionError(
                f"{self._config.name} fold {self._fold}: the {what} became {value} in epoch "
                f"{epoch}, step {self._step}; try a smaller optimizer.lr "
                f"(now {self._config.optimizer.lr}) or precision=fp32"
            )

    def _train_step(self, images: torch.Tensor, targets: torch.Tensor) -> float:
        device = self._engine.device
        pixels = self._preprocessing.normalise(images.to(device, non_blocking=True))
        logits = self._model(pixels.to(memory_format=torch.channels_last))
        loss = self._loss(logits.float(), targets.to(device, non_blocking=True))
        self._accelerator.backward(loss)
        if self._config.train.grad_clip is not None:
            self._accelerator.clip_grad_norm_(
                self._model.parameters(), self._config.train.grad_clip
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    def _set_learning_rate(self) -> float:
        floor = self._config.schedule.eta_min / self._config.optimizer.lr
        factor = lr_factor(
            self._step, len(self._loader), self._total_steps, self._config.schedule, floor
        )
        for group, peak in zip(self._optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        return factor

    def _predict(self, views: tuple[str, ...]) -> NDArray[np.float32]:
        total = len(self._sources) * len(views)
        done = 0

        def progress(images: int) -> None:
            nonlocal done
            done += images
            self._tracker.images_predicted(done, total)

        engine = replace(self._engine, progress=progress)
        return predict_views(self._bare_model(), self._preprocessing, self._sources, views, engine)

    def _write_weights(self, epoch: int) -> None:
        state = {
            name: tensor.detach().cpu().contiguous()
            for name, tensor in self._bare_model().state_dict().items()
        }
        with replacing(self._weights) as temporary:
            save_file(state, temporary)
        self._tracker.checkpoint_written(self._weights, epoch)

    def _bare_model(self) -> nn.Module:
        return self._accelerator.unwrap_model(self._model)


def _trial_rows(rows: pd.DataFrame, trained_on: int, seed: int) -> pd.DataFrame:
    """A random part of the validation rows, no larger than what a trial run trains on."""
    if trained_on >= len(rows):
        return rows
    return rows.sample(trained_on, random_state=seed).sort_index()

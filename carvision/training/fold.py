"""Train one backbone on one fold: the loop, the best epoch, the out-of-fold predictions."""

import logging
import time
from dataclasses import asdict, dataclass
from math import isfinite
from math import log as ln
from pathlib import Path

import torch
from safetensors.torch import load_file

from carvision.config import Config
from carvision.contracts import VIEWS, Predictions, Tracker
from carvision.data.batches import EpochSampler
from carvision.data.cache import PhotoCache
from carvision.data.loader import Batch, PhotoLoader, training_loader
from carvision.data.manifest import Manifest
from carvision.errors import DataError, DivergedError
from carvision.inference import Engine
from carvision.training.best import Best, save_weights
from carvision.training.checkpoint import CheckpointFolder
from carvision.training.identity import identity_of, refuse_another
from carvision.training.interrupts import deferred_interrupts
from carvision.training.learner import Learner
from carvision.training.memory import memory_used
from carvision.training.photos import training_photos
from carvision.training.schedule import lr_factor
from carvision.training.validation import Validation, trial_rows
from carvision.training.watch import Watch

log = logging.getLogger(__name__)

#: Times the loss of a guess: from beyond it, training does not come back.
_EXPLODED = 1000


@dataclass(frozen=True)
class FoldResult:
    """The best epoch of a fold: its metrics, its weights, its out-of-fold predictions.

    ``averaged`` says whether the weights are the moving average's.
    """

    fold: int
    best_epoch: int
    averaged: bool
    metrics: dict[str, float]
    weights: Path
    predictions: Predictions


@dataclass
class _Position:
    """How far training is; all but ``step`` are of the present epoch."""

    epoch: int = 1
    step: int = 0
    images: int = 0
    steps: int = 0
    loss_sum: float = 0.0


def train_fold(
    config: Config,
    manifest: Manifest,
    root: Path,
    fold: int,
    folder: Path,
    tracker: Tracker,
    cache: PhotoCache | None = None,
) -> FoldResult:
    """Train on all folds but ``fold``; checkpoints and weights go to ``folder``.

    Goes on from the newest intact checkpoint in ``folder``: to the same weights, on a CPU in fp32
    bit by bit, as if it had never stopped. Training reads ``cache`` where there is one; validation
    reads the files, as the test will.

    The best epoch is the one of the lowest validation log loss, of the network or of its moving
    average. Its predictions cover all views of every validation photo; in a trial run
    (``train.max_steps``), of no more validation photos than the run trained on.

    Raises:
        DivergedError: the loss exploded.
        CarvisionError: a photo or the weights cannot be read, or the disk is full.
        ConfigError: the checkpoint is of another configuration, or of other data.
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
        self._checkpoints = CheckpointFolder(folder)
        cache_side = None if cache is None else cache.side
        self._identity = identity_of(config, manifest, fold, cache_side)
        rows, validation = manifest.split(fold)
        if len(rows) < 2 or validation.empty:
            raise DataError(f"fold {fold}: too few photos to train and validate on")
        self._ids = rows["image_id"].tolist()
        self._classes = len(manifest.classes.names)
        engine = Engine.of(config)
        self._device = engine.device
        # Folds differ in their photos, and need no equal start.
        torch.manual_seed(config.seed * 1000 + fold)
        self._learner = Learner(config, self._classes, engine, tracker.warning)
        step_images = self._learner.batch_size * config.train.accumulation
        self._sampler = EpochSampler(len(rows), config.seed)
        photos = training_photos(config, rows, root, cache)
        self._loader: PhotoLoader[Batch] = training_loader(
            photos, self._sampler, step_images, config.loader, engine.device
        )
        self._steps_per_epoch = len(self._loader)
        planned = config.train.epochs * self._steps_per_epoch
        self._total_steps = min(planned, config.train.max_steps or planned)
        if self._total_steps < planned:
            validation = trial_rows(validation, self._total_steps * step_images, config.seed)
        preprocessing = self._learner.preprocessing
        self._validation = Validation(validation, root, preprocessing, engine, tracker)
        self._position = _Position()
        self._best: Best | None = None
        self._watch = Watch(config.train.early_stopping)
        self._written_at = time.monotonic()

    @property
    def _name(self) -> str:
        return f"{self._config.name} fold {self._fold}"

    def run(self) -> FoldResult:
        """Train what is left of the epochs, then predict with the best weights."""
        self._resume()
        self._tracker.run_started(self._name, self._total_steps)
        try:
            while not self._finished:
                trained = self._train_epoch()
                self._end_epoch(trained)
        except KeyboardInterrupt:
            # It came between two steps: what is in memory belongs together.
            self._checkpoint()
            raise
        finally:
            # Whatever ended it, nothing writes into the folder any more.
            self._checkpoints.wait()
        return self._result()

    @property
    def _finished(self) -> bool:
        between_epochs = self._position.images == 0
        done = self._position.step >= self._total_steps or self._watch.should_stop
        return between_epochs and done

    def _resume(self) -> None:
        found = self._checkpoints.newest()
        if found is None:
            return
        path, state = found
        refuse_another(path, state["identity"], self._identity)
        self._learner.restore(state["learner"])
        self._position = _Position(**state["position"])
        self._best = None if state["best"] is None else Best(**state["best"])
        self._watch.restore(state["watch"])
        log.info(
            "%s: going on from %s, epoch %d, step %d of %d",
            self._name,
            path,
            self._position.epoch,
            self._position.step,
            self._total_steps,
        )

    def _checkpoint(self) -> None:
        state = {
            "identity": self._identity,
            "learner": self._learner.state(),
            "position": asdict(self._position),
            "best": None if self._best is None else vars(self._best),
            "watch": self._watch.state(),
        }
        path = self._checkpoints.write(self._position.step, state)
        self._written_at = time.monotonic()
        self._tracker.checkpoint_written(path, self._position.epoch)

    def _train_epoch(self) -> dict[str, float]:
        position = self._position
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
        of_epoch = self._steps_per_epoch - self._position.steps
        return min(of_epoch, self._total_steps - self._position.step)

    def _end_epoch(self, trained: dict[str, float]) -> None:
        """Score the network and its average, keep the better if it is the best, checkpoint."""
        networks = {"raw": self._learner.network}
        if self._learner.averaged_network is not None:
            networks["averaged"] = self._learner.averaged_network
        scores = {kind: self._validation.score(network) for kind, network in networks.items()}
        for score in scores.values():
            # The last step may have ruined the weights without a loss to show it.
            if not isfinite(score.log_p.sum()):
                raise self._ruined("validation", float(score.log_p.sum()), self._position.step)
        kind = min(scores, key=lambda kind: scores[kind].loss)
        score, epoch = scores[kind], self._position.epoch
        each = {f"val/log_loss_{kind}": score.loss for kind, score in scores.items()}
        metrics = trained | score.metrics | each
        # What a checkpoint holds of this epoch changes at once; trackers are told before it is
        # written: a kill in between tells them twice, rather than never.
        with deferred_interrupts():
            if self._best is None or score.loss < self._best.loss:
                save_weights(networks[kind], self._weights)
                averaged = kind == "averaged"
                self._best = Best(epoch, averaged, score.metrics, torch.from_numpy(score.log_p))
            if self._watch.overfits(metrics):
                self._tracker.warning(
                    f"{self._name} overfits: for two epochs validation got worse while training "
                    f"got better; the best is epoch {self._best.epoch}"
                )
            self._tracker.epoch_ended(epoch, metrics)
            self._position = _Position(epoch + 1, self._position.step)
        self._checkpoint()

    def _result(self) -> FoldResult:
        best = self._best
        assert best is not None  # a run has at least one step
        network = self._learner.network
        network.load_state_dict(load_file(self._weights))
        # The best epoch's original view is known already.
        rest = torch.from_numpy(self._validation.predict(network, VIEWS[1:]))
        both = torch.cat([best.log_p, rest]).numpy()
        predictions = Predictions(self._validation.index, VIEWS, both)
        return FoldResult(
            self._fold, best.epoch, best.averaged, best.metrics, self._weights, predictions
        )

    def _lr_factor(self, step: int) -> float:
        schedule = self._config.schedule
        floor = schedule.eta_min / self._config.optimizer.lr
        return lr_factor(step, self._steps_per_epoch, self._total_steps, schedule, floor)

    def _check_loss(self, loss: float, images: int) -> None:
        if isfinite(loss) and loss < _EXPLODED * max(1.0, ln(self._classes)):
            return
        first = self._position.images
        names = [self._ids[index] for index in self._sampler.order()[first : first + images]]
        held = f"; the batch held {', '.join(names)}"
        raise self._ruined("loss", loss, self._position.step + 1, held)

    def _ruined(self, what: str, value: float, step: int, more: str = "") -> DivergedError:
        return DivergedError(
            f"{self._name}: the {what} became {value} in epoch {self._position.epoch}, step "
            f"{step}; try a smaller optimizer.lr (now {self._config.optimizer.lr}) "
            f"or precision=fp32{more}"
        )

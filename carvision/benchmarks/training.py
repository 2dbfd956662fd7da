"""``what=train``: a step against a bare loop, a whole training against timm's script."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch

from carvision.benchmarks.rows import Row
from carvision.benchmarks.train_rival import LabelledPhotos, TimmResult, train_as_timm
from carvision.config import Config
from carvision.contracts import VIEWS, Tracker
from carvision.inference import (
    ComputeSettings,
    PhotosToPredict,
    autocast,
    memory_format,
    predict_views,
)
from carvision.inference.memory import configure_allocator
from carvision.metrics import validation_metrics
from carvision.models import build_loss, build_model, preprocessing_of
from carvision.training import Learner, train_fold
from carvision.training.job import FoldJob
from carvision.training.optimizer import build_optimizer

log = logging.getLogger(__name__)

#: The rival's learning rates.
LEARNING_RATES = (3e-4, 1e-3, 3e-3)
#: Steps of a pass, and passes of each contender after one that warms up.
STEPS = 6
PASSES = 5


@dataclass(frozen=True)
class _Training:
    """What a whole training reached: images a second while training, minutes, log loss."""

    rate: float
    minutes: float
    loss: float


class _Epochs(Tracker):
    """A tracker that measures how fast epochs train."""

    def __init__(self) -> None:
        self._rates: list[float] = []

    @property
    def rate(self) -> float:
        """Training images a second, of the median epoch."""
        return median(self._rates)

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._rates.append(metrics["images_per_second"])
        log.info("ours, epoch %d: val log loss %.4f", epoch, metrics["val/log_loss"])

    def warning(self, message: str) -> None:
        log.warning("%s", message)


def step_rows(config: Config) -> list[Row]:
    """Compare a step with that of a bare PyTorch loop, in turns, with the data in memory.

    Once with no more work than the bare loop does, once with everything that ``config`` asks for.
    """
    compute = ComputeSettings.of(config)
    configure_allocator(compute.device)
    px, batch = config.train_image_size, config.train.known_batch_size
    images = torch.randint(0, 256, (batch, 3, px, px), dtype=torch.uint8)
    targets = torch.randint(10, (batch,))
    # The bare loop does not average the weights, nor clip gradients.
    plain = config.model_copy(
        update={"train": config.train.model_copy(update={"ema_decay": None, "grad_clip": None})}
    )
    contenders = {
        "": _our_step(plain, compute, images, targets),
        " with average and clipping": _our_step(config, compute, images, targets),
        "bare": _bare_step(plain, compute, images, targets),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(PASSES + 1):
        for name, step in contenders.items():
            started = time.perf_counter()
            for _ in range(STEPS):
                step()
            if turn:
                times[name].append((time.perf_counter() - started) / STEPS * 1e3)
    bare = median(times.pop("bare"))
    allowed = max(2.0, 0.05 * bare)
    return [
        Row(
            f"{config.name}, step of {batch} at {px} px{what}",
            median(ours),
            "ms",
            "bare loop",
            bare,
            bare / median(ours),
            bare / (bare + allowed),
            median(ours) - bare <= allowed,
        )
        for what, ours in times.items()
    ]


def against_timm_rows(
    job: FoldJob, work: Path, learning_rates: Sequence[float] = LEARNING_RATES
) -> list[Row]:
    """Train one fold by our recipe, and by timm's script with the best of its learning rates.

    The recipe may read a cache, which must not be written yet: its minutes include that. Beside it
    stands an epoch of ours from the files, at the image size of the rival.
    """
    config = job.config
    ours = _train_whole(replace(job, home=work / "ours"))
    from_files = _Epochs()
    alike = replace(job, config=_one_epoch_alike(config), cache=None, home=work / "from_files")
    train_fold(alike, from_files)
    rivals = _train_rivals(job, learning_rates)
    best = min(rivals, key=lambda lr: rivals[lr].loss)
    rival, title = rivals[best], f"timm's script, lr {best:g}"
    name, px = f"{config.name}, {config.train.epochs} epochs", config.model.image_size
    at_px = f"{config.name}, training from files at {px} px"
    return [
        Row.against(at_px, from_files.rate, "images/s", title, rival.rate, 2.0),
        # Of smaller images, perhaps from a cache: no comparison of loops, so without a target.
        Row.against(f"{name}, training", ours.rate, "images/s", title, rival.rate),
        Row.against(f"{name}, log loss", ours.loss, "nats", title, rival.loss, 1 / 0.65),
        Row.against(f"{name}, whole", ours.minutes, "min", title, rival.minutes, 1.0),
        *(
            Row(f"timm's script, lr {lr:g}, log loss", found.loss, "nats")
            for lr, found in rivals.items()
        ),
    ]


def _train_whole(job: FoldJob) -> _Training:
    """Write the job's cache, if it has one, and train the fold."""
    tracker = _Epochs()
    started = time.perf_counter()
    if job.cache is not None:
        job.cache.write(job.root)
    result = train_fold(job, tracker)
    # Predicting the other four views, which timm's script does not do, is included.
    minutes = (time.perf_counter() - started) / 60
    return _Training(tracker.rate, minutes, result.metrics["val/log_loss"])


def _train_rivals(job: FoldJob, learning_rates: Sequence[float]) -> dict[float, _Training]:
    """Train by timm's script with each of ``learning_rates``, on the photos of the job."""
    training, validation = (
        LabelledPhotos([job.root / path for path in rows["path"]], rows["class_index"].tolist())
        for rows in job.manifest.split(job.fold)
    )
    classes = len(job.manifest.classes.names)
    rivals: dict[float, _Training] = {}
    # In a process of its own, whose allocator is not configured as ours is.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for lr in learning_rates:
            arguments = (job.config, classes, training, validation, lr)
            result = pool.submit(train_as_timm, *arguments).result()
            loss = _best_loss(result, job.config, validation)
            rivals[lr] = _Training(result.images_per_second, result.minutes, loss)
            log.info("timm, lr %g: val log loss %.4f", lr, loss)
    return rivals


def _one_epoch_alike(config: Config) -> Config:
    """An epoch at the size at which timm's script trains."""
    train = {"epochs": 1, "image_size": config.model.image_size, "head_first_epochs": 0}
    return config.model_copy(update={"train": config.train.model_copy(update=train)})


def _best_loss(result: TimmResult, config: Config, validation: LabelledPhotos) -> float:
    """The log loss on whole photos, as ours is evaluated, or on the script's crops if lower."""
    compute = ComputeSettings.of(config)
    photos, preprocessing = PhotosToPredict(validation.paths), preprocessing_of(config)
    whole = predict_views(result.network, preprocessing, photos, VIEWS[:1], compute)[0]
    targets = np.asarray(validation.targets)
    losses = [validation_metrics(p, targets)["val/log_loss"] for p in (whole, result.log_p)]
    return min(losses)


def _our_step(
    config: Config, compute: ComputeSettings, images: torch.Tensor, targets: torch.Tensor
) -> Callable[[], object]:
    learner = Learner(config, 10, compute, log.warning)
    learner.start_epoch(1)
    return lambda: learner.step(images, targets)


def _bare_step(
    config: Config, compute: ComputeSettings, images: torch.Tensor, targets: torch.Tensor
) -> Callable[[], object]:
    device, layout = compute.device, memory_format(compute.device)
    model = build_model(config, 10, pretrained=config.model.pretrained).train()
    model = model.to(device, memory_format=layout)  # type: ignore[call-overload]
    optimizer = build_optimizer(model, config.optimizer)
    loss_of = build_loss(config.loss)
    preprocessing = preprocessing_of(config)

    def step() -> float:
        pixels = preprocessing.normalise(images.to(device))
        with autocast(device, compute.precision):
            logits = model(pixels.to(memory_format=layout))
        loss = loss_of(logits, targets.to(device))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step

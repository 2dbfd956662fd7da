"""``what=train``: a step against a bare loop, and a whole training against timm's script."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from carvision.benchmarks.rows import Row
from carvision.benchmarks.train_rival import TimmResult, train_as_timm
from carvision.config import Config
from carvision.contracts import VIEWS, Tracker
from carvision.data.loading.cache import PhotoCache
from carvision.data.manifest import Manifest
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

LEARNING_RATES = (3e-4, 1e-3, 3e-3)
_STEPS = 6
_PASSES = 5


class _Times(Tracker):
    """A tracker that keeps each epoch's metrics."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    @property
    def rate(self) -> float:
        """Training images a second."""
        return median(epoch["images_per_second"] for epoch in self.epochs)

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self.epochs.append(dict(metrics))
        log.info("ours, epoch %d: val log loss %.4f", epoch, metrics["val/log_loss"])

    def warning(self, message: str) -> None:
        log.warning("%s", message)


def step_rows(config: Config) -> list[Row]:
    """The cost of a step over a bare PyTorch loop's, with the data in memory, by turns.

    Once with no more work than the bare loop does, once with all that ``config`` asks for.
    """
    compute = ComputeSettings.of(config)
    configure_allocator(compute.device)
    px, batch = config.train_image_size, config.train.known_batch_size
    images = torch.randint(0, 256, (batch, 3, px, px), dtype=torch.uint8)
    targets = torch.randint(10, (batch,))
    # The average of the weights and clipping are work of their own, which the bare loop lacks.
    plain = config.model_copy(
        update={"train": config.train.model_copy(update={"ema_decay": None, "grad_clip": None})}
    )
    contenders = {
        "": _our_step(plain, compute, images, targets),
        " with average and clipping": _our_step(config, compute, images, targets),
        "bare": _bare_step(plain, compute, images, targets),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(_PASSES + 1):
        for name, step in contenders.items():
            started = time.perf_counter()
            for _ in range(_STEPS):
                step()
            if turn:
                times[name].append((time.perf_counter() - started) / _STEPS * 1e3)
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
    config: Config,
    manifest: Manifest,
    root: Path,
    cache_side: int | None,
    work: Path,
    learning_rates: Sequence[float] = LEARNING_RATES,
) -> list[Row]:
    """Our recipe against the best of timm's learning rates, on one fold, side by side.

    The recipe reads a cache where ``cache_side`` says so, and its minutes are those of writing it,
    too. The rate of an epoch from the files, at the rival's own image size, stands beside it.
    """
    rows, validation = manifest.split(1)
    paths = [root / path for path in validation["path"]]
    targets = validation["class_index"].to_numpy()
    training = ([root / path for path in rows["path"]], rows["class_index"].tolist())
    tracker = _Times()
    started = time.perf_counter()
    cache = None
    if cache_side is not None:
        cache = PhotoCache(work / "cache", manifest, cache_side)
        cache.write(root)
    job = replace(FoldJob.of(config, manifest, root, 1, cache), home=work / "ours")
    ours = train_fold(job, tracker)
    # The other four views, which timm's script does not compute, are a part of this.
    minutes = (time.perf_counter() - started) / 60
    loss = ours.metrics["val/log_loss"]
    from_files = _Times()
    job = FoldJob.of(_one_epoch_alike(config), manifest, root, 1)
    train_fold(replace(job, home=work / "from_files"), from_files)
    rivals = {}
    # In a process of its own, to which what we set in ours (the allocator) does not apply.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        for lr in learning_rates:
            result = apart.submit(
                train_as_timm,
                config,
                len(manifest.classes.names),
                training,
                (paths, targets.tolist()),
                lr,
                config.train.epochs,
            ).result()
            rivals[lr] = (_best_loss(result, config, paths, targets), result)
            log.info("timm, lr %g: val log loss %.4f", lr, rivals[lr][0])
    best = min(rivals, key=lambda lr: rivals[lr][0])
    rival_loss, result = rivals[best]
    name = f"{config.name}, {config.train.epochs} epochs"
    px, rival_rate = config.model.image_size, result.images_per_second
    title = f"timm's script, lr {best:g}"
    return [
        Row.against(
            f"{config.name}, training from files at {px} px",
            from_files.rate,
            "images/s",
            title,
            rival_rate,
            2.0,
        ),
        # Of smaller images, perhaps from a cache: no comparison of loops, so without a goal.
        Row.against(f"{name}, training", tracker.rate, "images/s", title, rival_rate),
        Row.against(f"{name}, log loss", loss, "nats", title, rival_loss, 1 / 0.65),
        Row.against(f"{name}, whole", minutes, "min", title, result.minutes, 1.0),
        *(
            Row(f"timm's script, lr {lr:g}, log loss", value, "nats")
            for lr, (value, _) in rivals.items()
        ),
    ]


def _one_epoch_alike(config: Config) -> Config:
    """An epoch at the size at which timm's script trains."""
    train = {"epochs": 1, "image_size": config.model.image_size, "head_first_epochs": 0}
    return config.model_copy(update={"train": config.train.model_copy(update=train)})


def _best_loss(
    result: TimmResult, config: Config, paths: Sequence[Path], targets: NDArray[np.integer]
) -> float:
    """On the whole photo, as ours is evaluated, or on the script's own crop if that is better."""
    compute = ComputeSettings.of(config)
    photos, how = PhotosToPredict(paths), preprocessing_of(config)
    whole = predict_views(result.network, how, photos, VIEWS[:1], compute)[0]
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

"""The prediction engine: each photo is decoded once, every view of it is made on the device."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from carvision.config import Config, LoaderConfig
from carvision.contracts import EnsembleSpec, tempered
from carvision.data.views import apply_view
from carvision.data.whole_photos import WholePhotos, whole_photo_loader
from carvision.errors import CarvisionError
from carvision.inference.device import (
    autocast,
    memory_format,
    resolve_device,
    resolve_precision,
    to_device,
)
from carvision.inference.memory import is_out_of_memory, release_memory
from carvision.metrics import MIN_PROBABILITY
from carvision.models import Bundle, Preprocessing

log = logging.getLogger(__name__)


def _silent(images: int) -> None:
    """Progress that nobody watches."""


def _unkept(fold: int, log_p: NDArray[np.floating]) -> None:
    """A fold's own predictions, which nobody keeps."""


@dataclass(frozen=True)
class Engine:
    """How to compute: device, precision, photos at a time, how they load, and who watches."""

    device: str
    precision: str
    batch_size: int
    loader: LoaderConfig
    progress: Callable[[int], None] = _silent

    @classmethod
    def of(cls, config: Config, progress: Callable[[int], None] = _silent) -> Self:
        """What a configuration asks for, as far as this machine has it.

        Raises:
            ConfigError: the wanted device is not there.
        """
        device = resolve_device(config.device)
        precision = resolve_precision(config.precision, device)
        return cls(device, precision, config.inference.batch_size, config.loader, progress)


def predict_views(
    model: nn.Module,
    preprocessing: Preprocessing,
    sources: Sequence[Path | bytes],
    views: Sequence[str],
    engine: Engine,
    unreadable: torch.Tensor | None = None,
) -> NDArray[np.float32]:
    """Log-probabilities of one model, ``[views, images, classes]``.

    The model is moved to the engine's device, and left in evaluation mode. Where memory is short,
    fewer photos at a time are predicted, and a log line says so. A photo that cannot be read ends
    it, or is marked in ``unreadable`` (:class:`~carvision.data.whole_photos.WholePhotos`), and
    what is predicted of it has no meaning.

    Raises:
        CarvisionError: not even a single photo fits into memory.
        DataError: a photo cannot be read, and there is no ``unreadable``.
    """
    return predict_views_of_each([model], preprocessing, sources, views, engine, unreadable)[0]


def predict_views_of_each(
    models: Sequence[nn.Module],
    preprocessing: Preprocessing,
    sources: Sequence[Path | bytes],
    views: Sequence[str],
    engine: Engine,
    unreadable: torch.Tensor | None = None,
) -> NDArray[np.float32]:
    """:func:`predict_views` of several models, ``[models, views, images, classes]``.

    Each photo is decoded once for all of them.
    """
    layout = memory_format(engine.device)
    for model in models:
        model.to(engine.device, memory_format=layout).eval()  # type: ignore[call-overload]
    how = preprocessing
    photos = WholePhotos(sources, how.image_size, how.interpolation, unreadable)
    # Few photos are not worth starting processes for, and none of them is needed twice.
    few = {"workers": 0} if len(photos) <= 4 * engine.batch_size else {}
    config = engine.loader.model_copy(update={"persistent_workers": False, **few})
    batches: list[NDArray[np.float32]] = []
    loader = whole_photo_loader(photos, engine.batch_size, config, engine.device)
    computing = autocast(engine.device, engine.precision)

    def predict(images: torch.Tensor) -> NDArray[np.float32]:
        """``[models * views, images, classes]``."""
        on_device = to_device(images, engine.device)
        pixels = preprocessing.normalise(on_device).to(memory_format=layout)
        logits = [model(apply_view(pixels, view)) for model in models for view in views]
        return torch.stack(logits).float().log_softmax(dim=2).cpu().numpy()

    at_a_time = engine.batch_size
    with torch.inference_mode(), computing, loader.watched():
        for images in loader:
            predicted, at_a_time = _in_parts(predict, images, at_a_time, engine.device)
            batches.append(predicted)
            engine.progress(len(images) * len(views) * len(models))
    joined = np.concatenate(batches, axis=1)
    return joined.reshape(len(models), len(views), *joined.shape[1:])


def _in_parts(
    predict: Callable[[torch.Tensor], NDArray[np.float32]],
    images: torch.Tensor,
    at_a_time: int,
    device: str,
) -> tuple[NDArray[np.float32], int]:
    """``[views, images, classes]`` of a batch, and how many images at a time had room."""
    while True:
        try:
            parts = [predict(part) for part in images.split(at_a_time)]
            return np.concatenate(parts, axis=1), at_a_time
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = min(at_a_time, len(images)) // 2
            if smaller == 0:
                raise CarvisionError(
                    "not even a single photo can be predicted in the memory that is left: free "
                    "some, or set a smaller model.image_size"
                ) from error
        # Outside of the handler: the error holds on to the tensors of its frames.
        release_memory(device)
        log.warning(
            "out of memory while predicting %d photos at a time: going on with %d "
            "(inference.batch_size=%d starts with that)",
            min(at_a_time, len(images)),
            smaller,
            smaller,
        )
        at_a_time = smaller


def predict_member(
    bundle: Bundle,
    sources: Sequence[Path | bytes],
    temperatures: Mapping[str, float],
    engine: Engine,
    on_fold: Callable[[int, NDArray[np.floating]], None] = _unkept,
    unreadable: torch.Tensor | None = None,
) -> NDArray[np.float64]:
    """Probabilities of a backbone for the views of ``temperatures``, ``[views, images, classes]``.

    Each fold's log-probabilities are tempered, then the folds' probabilities are averaged.
    ``on_fold`` gets each fold and its tempered log-probabilities ``[views, images, classes]``;
    ``unreadable`` is as in :func:`predict_views`.
    """
    views = list(temperatures)
    by_view = np.array([temperatures[view] for view in views])[:, None, None]
    total: NDArray[np.float64] | float = 0.0
    for fold in bundle.folds:
        model = bundle.load_fold(fold)
        log_p = predict_views(model, bundle.preprocessing, sources, views, engine, unreadable)
        log_p = tempered(log_p, by_view)
        on_fold(fold, log_p)
        total = total + np.exp(log_p)
    return np.asarray(total) / len(bundle.folds)


def predict_ensemble(
    spec: EnsembleSpec,
    members: Sequence[NDArray[np.floating]],
) -> NDArray[np.float64]:
    """Mix what :func:`predict_member` gave for each member of ``spec``: ``[images, classes]``.

    ``members`` hold the active views only, in their order.
    """
    geometric = spec.mixing == "geometric"
    mixed: NDArray[np.float64] | float = 0.0
    for member, probabilities in zip(spec.members, members, strict=True):
        weights = np.array([member.weights[view] for view in member.active_views])
        terms = np.log(np.maximum(probabilities, MIN_PROBABILITY)) if geometric else probabilities
        mixed = mixed + np.tensordot(weights, terms, axes=1)
    return softmax(mixed, axis=1) if geometric else np.asarray(mixed)

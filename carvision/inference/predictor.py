"""Predict photos: each is decoded once, and its views are made on the device."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from carvision.data.loading.inference_photos import WholePhotos, whole_photo_loader
from carvision.data.loading.loader import PhotoLoader
from carvision.data.tta_views import apply_view
from carvision.ensembling.mix import fold_mean, tempered
from carvision.errors import CarvisionError
from carvision.inference.compute_settings import ComputeSettings
from carvision.inference.device import autocast, memory_format, to_device
from carvision.inference.memory import is_out_of_memory, release_memory
from carvision.models import Bundle, Preprocessing

log = logging.getLogger(__name__)


def _silent(images: int) -> None:
    """Ignore the progress."""


def _unkept(fold: int, log_p: NDArray[np.floating]) -> None:
    """Ignore a fold's own predictions."""


@dataclass(frozen=True)
class PhotosToPredict:
    """Photos as files or encoded bytes.

    ``unreadable``, booleans ``[photos]`` in shared memory, marks the photos that cannot be read;
    without it, such a photo is an error.
    """

    sources: Sequence[Path | bytes]
    unreadable: torch.Tensor | None = None

    def squashed(self, preprocessing: Preprocessing) -> WholePhotos:
        """The data set of these photos at the size that a model expects."""
        how = preprocessing
        return WholePhotos(self.sources, how.image_size, how.interpolation, self.unreadable)


def predict_views(
    model: nn.Module,
    preprocessing: Preprocessing,
    photos: PhotosToPredict,
    views: Sequence[str],
    compute: ComputeSettings,
    progress: Callable[[int], None] = _silent,
) -> NDArray[np.float32]:
    """Predict the log-probabilities of one model, ``[views, images, classes]``.

    The model is moved to the device of ``compute``, and left in evaluation mode. Where memory is
    short, fewer photos at a time are predicted, and a log line says so. ``progress`` is called with
    the number of images just predicted, each view counted. The prediction of an unreadable photo
    has no meaning.

    Raises:
        CarvisionError: not even a single photo fits into memory.
        DataError: a photo cannot be read, and ``photos`` has no place to mark it.
    """
    return predict_views_of_each([model], preprocessing, photos, views, compute, progress)[0]


def predict_views_of_each(
    models: Sequence[nn.Module],
    preprocessing: Preprocessing,
    photos: PhotosToPredict,
    views: Sequence[str],
    compute: ComputeSettings,
    progress: Callable[[int], None] = _silent,
) -> NDArray[np.float32]:
    """:func:`predict_views` of several models, ``[models, views, images, classes]``.

    Each photo is decoded once for all of them.
    """
    layout = memory_format(compute.device)
    for model in models:
        model.to(compute.device, memory_format=layout).eval()  # type: ignore[call-overload]

    def predict(images: torch.Tensor) -> NDArray[np.float32]:
        """``[models * views, images, classes]``."""
        on_device = to_device(images, compute.device)
        pixels = preprocessing.normalise(on_device).to(memory_format=layout)
        logits = [model(apply_view(pixels, view)) for model in models for view in views]
        return torch.stack(logits).float().log_softmax(dim=2).cpu().numpy()

    at_a_time = compute.batch_size
    batches: list[NDArray[np.float32]] = []
    loader = _loader(photos.squashed(preprocessing), compute)
    computing = autocast(compute.device, compute.precision)
    with torch.inference_mode(), computing, loader.watched():
        for images in loader:
            predicted, at_a_time = _in_micro_batches(predict, images, at_a_time, compute.device)
            batches.append(predicted)
            progress(len(images) * len(views) * len(models))
    joined = np.concatenate(batches, axis=1)
    return joined.reshape(len(models), len(views), *joined.shape[1:])


def _loader(photos: WholePhotos, compute: ComputeSettings) -> PhotoLoader[torch.Tensor]:
    # For few photos, starting processes takes longer than decoding. Nothing is read twice.
    few = {"workers": 0} if len(photos) <= 4 * compute.batch_size else {}
    config = compute.loader.model_copy(update={"persistent_workers": False, **few})
    return whole_photo_loader(photos, compute.batch_size, config, compute.device)


def _in_micro_batches(
    predict: Callable[[torch.Tensor], NDArray[np.float32]],
    images: torch.Tensor,
    at_a_time: int,
    device: str,
) -> tuple[NDArray[np.float32], int]:
    """Predict a batch ``[views, images, classes]``; also return how many images fit at a time."""
    while True:
        try:
            predicted = [predict(each) for each in images.split(at_a_time)]
            return np.concatenate(predicted, axis=1), at_a_time
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = min(at_a_time, len(images)) // 2
            if smaller == 0:
                raise CarvisionError(
                    "not even a single photo can be predicted in the memory that is left: free "
                    "some, or train with a smaller model.image_size"
                ) from error
        # Outside of the handler, where the error no longer keeps the tensors of its frames alive.
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
    photos: PhotosToPredict,
    temperatures: Mapping[str, float],
    compute: ComputeSettings,
    on_fold: Callable[[int, NDArray[np.floating]], None] = _unkept,
    progress: Callable[[int], None] = _silent,
) -> NDArray[np.float64]:
    """Predict the probabilities of a backbone, ``[views, images, classes]``.

    The views are those of ``temperatures``. Each fold's log-probabilities are tempered, then the
    folds' probabilities are averaged.
    ``on_fold`` gets each fold and its tempered log-probabilities ``[views, images, classes]``;
    ``progress`` is as in :func:`predict_views`.
    """
    views = list(temperatures)
    by_view = np.array([temperatures[view] for view in views])[:, None, None]

    def predictions() -> Iterator[NDArray[np.floating]]:
        for fold in bundle.folds:
            model = bundle.load_fold(fold)
            log_p = predict_views(model, bundle.preprocessing, photos, views, compute, progress)
            log_p = tempered(log_p, by_view)
            on_fold(fold, log_p)
            yield log_p

    return fold_mean(predictions())

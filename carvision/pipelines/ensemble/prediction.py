"""The test photos as every member of an ensemble predicts them, and their mixture."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.config import RunSettings
from carvision.contracts import EnsembleSpec, Predictions, write_predictions
from carvision.data.submission_listing import SubmissionPhotos
from carvision.ensembling.fold_averaging import FoldMixtures
from carvision.ensembling.mix import mix
from carvision.files import scratch_folder
from carvision.inference import ComputeSettings, PhotosToPredict, predict_member
from carvision.inference.memory import configure_allocator
from carvision.metrics import MIN_PROBABILITY
from carvision.pipelines.ensemble.unreadable_photos import UnreadablePhotos
from carvision.reporting.console import progress
from carvision.store.member_versions import MemberVersion
from carvision.tracking.outbox.record import log_artifacts


@dataclass(frozen=True)
class EnsemblePredictions:
    """Probabilities of the test photos.

    ``members`` holds each member's for its active views, ``[views, images, classes]``. ``folds``
    holds the ensemble's mixture of each fold that all members have.
    """

    spec: EnsembleSpec
    photos: SubmissionPhotos
    members: list[NDArray[np.float64]]
    folds: FoldMixtures

    @cached_property
    def mixed(self) -> NDArray[np.float64]:
        """The ensemble's probabilities, ``[images, classes]``."""
        return mix(self.members, self.spec.active_weights, self.spec.mixing)


def predict_photos(
    settings: RunSettings,
    spec: EnsembleSpec,
    pinned: Sequence[MemberVersion],
    unreadable: UnreadablePhotos,
    prior: NDArray[np.float64],
) -> EnsemblePredictions:
    """Predict the photos of ``unreadable`` with the registered members ``pinned`` of ``spec``.

    Photos that cannot be read get ``prior`` ``[classes]`` from every member; what ``folds`` holds
    of them has no meaning.
    """
    photos = PhotosToPredict(unreadable.photos.paths, unreadable.marks)
    compute = ComputeSettings.of(settings)
    # Only in a command's own process, never where a model predicts in somebody else's.
    configure_allocator(compute.device)
    common = set.intersection(*(set(version.folds) for version in pinned))
    folds = FoldMixtures(spec.mixing, sorted(common))
    members = []
    for member, version in zip(spec.members, pinned, strict=True):
        # One member's weights at a time: together they are tens of gigabytes.
        with scratch_folder() as folder:
            bundle = version.fetch(folder, spec.classes)
            total = len(photos.sources) * len(member.active_views) * len(bundle.folds)
            own = compute.for_model(bundle.config, settings.precision)
            with progress(f"predicting with {member.preset}", total) as predicted:
                temperatures = member.active_temperatures
                keep = partial(folds.add, member.active_weights)
                members.append(predict_member(bundle, photos, temperatures, own, keep, predicted))
        unreadable.warn_of_new()
    for probabilities in members:
        probabilities[:, ~unreadable.readable] = prior
    return EnsemblePredictions(spec, unreadable.photos, members, folds)


def log_predictions(predicted: EnsemblePredictions) -> None:
    """Log each member's test predictions, in the format of the out-of-fold ones."""
    index = pd.DataFrame({"image_id": predicted.photos.ids, "class_index": -1, "fold": 0})
    with log_artifacts("predictions") as folder:
        for member, probabilities in zip(predicted.spec.members, predicted.members, strict=True):
            log_p = np.log(np.maximum(probabilities, MIN_PROBABILITY)).astype(np.float32)
            own = Predictions(index, member.active_views, log_p)
            write_predictions(folder / member.preset, own)

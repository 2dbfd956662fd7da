"""Test photos that cannot be read: reported before the work, and submitted with a prior."""

import logging
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray

from carvision.contracts import EnsembleOof, EnsembleSpec
from carvision.data.photo.check import unreadable_photos
from carvision.data.submission_listing import SubmissionPhotos
from carvision.errors import CarvisionError, DataError
from carvision.reporting.console import announce, progress
from carvision.store.prepared import prepared_runs
from carvision.store.tags import DATA

log = logging.getLogger(__name__)

#: A larger share means the wrong folder, or a disk that is gone, not a few broken downloads.
_MOST: Final = 0.05
_NAMED: Final = 5


@dataclass
class UnreadablePhotos:
    """Which of the test photos cannot be read.

    ``marks`` ``[photos]`` are booleans in shared memory, where a loader's worker marks what it
    could not read. ``reasons`` says why, by ID.
    """

    photos: SubmissionPhotos
    marks: torch.Tensor
    reasons: dict[str, str]

    @classmethod
    def among(cls, photos: SubmissionPhotos) -> "UnreadablePhotos":
        """Decode each photo, and warn of those that cannot be read.

        Raises:
            DataError: there are too many of them.
        """
        with progress("looking at the test photos", len(photos.paths)) as advance:
            found = unreadable_photos(photos.paths, advance)
        marks = torch.zeros(len(photos.ids), dtype=torch.bool)
        marks[list(found)] = True
        own = cls(photos, marks.share_memory_(), {photos.ids[i]: why for i, why in found.items()})
        own._warn(own.reasons)
        return own

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which photos could be read, ``[photos]``."""
        return ~self.marks.numpy()

    def check_again(self) -> None:
        """Decode again the photos that could not be read, and warn of those that still cannot.

        Raises:
            DataError: there are too many of them.
        """
        marked = np.flatnonzero(~self.readable)
        if not len(marked):
            return
        found = unreadable_photos([self.photos.paths[i] for i in marked])
        self.marks.zero_()
        self.marks[[int(marked[i]) for i in found]] = True
        self.reasons = {self.photos.ids[marked[i]]: why for i, why in found.items()}
        self._warn(self.reasons)

    def warn_of_new(self) -> None:
        """Warn of photos that were marked since: gone or broken while they were predicted.

        Raises:
            DataError: there are too many of them by now.
        """
        marked = {self.photos.ids[place] for place in np.flatnonzero(~self.readable)}
        news = {
            identifier: f"{path} could no longer be read while it was predicted"
            for identifier, path in zip(self.photos.ids, self.photos.paths, strict=True)
            if identifier in marked and identifier not in self.reasons
        }
        self.reasons |= news
        self._warn(news)

    def _warn(self, news: dict[str, str]) -> None:
        if not news:
            return
        listed = "; ".join(f"{name}: {why}" for name, why in list(news.items())[:_NAMED])
        more = f"; and {len(news) - _NAMED:,} more" if len(news) > _NAMED else ""
        bad, total = len(self.reasons), len(self.photos.ids)
        if bad == total or (bad > 1 and bad > _MOST * total):
            raise DataError(
                f"{bad:,} of {total:,} test photos cannot be read, which is too many for a "
                f"submission: is this the right folder, and its disk there? {listed}{more}"
            )
        log.warning(
            "%d of %s test photos cannot be read, and get the share of each class among the "
            "training photos in the submission: %s%s",
            bad,
            f"{total:,}",
            listed,
            more,
        )


def class_prior(oof: EnsembleOof | str, spec: EnsembleSpec) -> NDArray[np.float64]:
    """Compute the share of each class among the training photos, ``[classes]``; none is zero.

    The photos are the ensemble's out-of-fold ones where ``oof`` holds these, else those that were
    prepared. Where neither is there, every class gets the same share.
    """
    if isinstance(oof, EnsembleOof):
        labels = oof.photos["class_index"].to_numpy()
    else:
        labels = _prepared_labels(spec)
    counts = 1 + (labels[:, None] == np.arange(len(spec.class_names))).sum(axis=0)
    return np.asarray(counts / counts.sum())


def _prepared_labels(spec: EnsembleSpec) -> NDArray[np.int64]:
    """The class indices of the photos that were prepared for the members of ``spec``."""
    try:
        for run in prepared_runs():
            if spec.score is None or run.run.data.tags.get(DATA) == spec.score.data:
                manifest = run.manifest()
                if manifest.classes == spec.classes:
                    return manifest.usable["class_index"].to_numpy()
    # A few rows of a submission are no reason to refuse the others.
    except (CarvisionError, MlflowException, OSError) as error:
        announce(f"the training photos' classes are not known, so each counts the same: {error}")
    return np.zeros(0, dtype=np.int64)

"""A fold's validation photos: predictions of them, and their metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from carvision.contracts import VIEWS, Tracker
from carvision.inference import ComputeSettings, PhotosToPredict, predict_views_of_each
from carvision.metrics import true_class_column, validation_metrics
from carvision.models import Preprocessing


@dataclass(frozen=True)
class Evaluation:
    """A network's metrics on the original view, and the log-probabilities that they are of.

    ``log_p`` is ``[1, images, classes]``; ``true_class`` ``[images]`` is its true class's column.
    """

    metrics: dict[str, float]
    log_p: NDArray[np.float32]
    true_class: NDArray[np.float32]

    @property
    def loss(self) -> float:
        """The log loss, by which networks are compared."""
        return self.metrics["val/log_loss"]


class Validation:
    """The validation photos of a fold, read from their files as test photos are."""

    def __init__(
        self,
        rows: pd.DataFrame,
        root: Path,
        preprocessing: Preprocessing,
        compute: ComputeSettings,
        tracker: Tracker,
    ) -> None:
        self.index = rows[["image_id", "class_index", "fold"]].reset_index(drop=True)
        self._targets = rows["class_index"].to_numpy()
        self._photos = PhotosToPredict([root / path for path in rows["path"]])
        self._preprocessing = preprocessing
        self._compute = compute
        self._tracker = tracker

    def evaluate(self, networks: Sequence[nn.Module]) -> list[Evaluation]:
        """Evaluate each network on the original view; each photo is decoded once for all."""
        return [self._evaluation(log_p) for log_p in self._predict(networks, VIEWS[:1])]

    def predict(self, network: nn.Module, views: tuple[str, ...]) -> NDArray[np.float32]:
        """Log-probabilities ``[views, images, classes]``."""
        return self._predict([network], views)[0]

    def _evaluation(self, log_p: NDArray[np.float32]) -> Evaluation:
        true_class = true_class_column(log_p[0], self._targets).astype(np.float32)
        return Evaluation(validation_metrics(log_p[0], self._targets), log_p, true_class)

    def _predict(
        self, networks: Sequence[nn.Module], views: tuple[str, ...]
    ) -> NDArray[np.float32]:
        """``[networks, views, images, classes]``."""
        total = len(self.index) * len(views) * len(networks)
        done = 0

        def progress(images: int) -> None:
            nonlocal done
            done += images
            self._tracker.images_predicted(done, total)

        return predict_views_of_each(
            networks, self._preprocessing, self._photos, views, self._compute, progress
        )


def smoke_run_rows(rows: pd.DataFrame, trained_on: int, seed: int) -> pd.DataFrame:
    """A random part of the validation rows, no larger than what a smoke run trains on."""
    if trained_on >= len(rows):
        return rows
    return rows.sample(trained_on, random_state=seed).sort_index()

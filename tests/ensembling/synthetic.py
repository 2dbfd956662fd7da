"""Synthetic out-of-fold predictions, whose right temperatures and weights are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax

from carvision.contracts import Predictions
from carvision.ensembling.oof_predictions import MemberOof, OofTable


@dataclass(frozen=True)
class SyntheticMembers:
    """Members that are confident of different photos; a view of a negative shift is useless.

    A member's log-probabilities are calibrated by construction (the logits of a known posterior
    shape), then multiplied by its temperature: dividing by it restores them.
    """

    photos: int = 400
    classes: int = 6
    folds: int = 5
    skills: Sequence[float] = (3.0, 2.5)
    views: Sequence[str] = ("original", "hflip", "vflip")
    view_shift: Sequence[float] = (0.0, 0.0, -4.0)
    temperatures: Sequence[float] | None = None
    costs: Sequence[float | None] | None = None
    seed: int = 0

    def table(self) -> OofTable:
        """Their predictions, drawn with the seed."""
        generator = np.random.default_rng(self.seed)
        index = pd.DataFrame(
            {
                "image_id": [f"train/{i:05d}.jpg" for i in range(self.photos)],
                "class_index": generator.integers(0, self.classes, self.photos),
                "fold": np.arange(self.photos) % self.folds + 1,
                "group": [f"g{i}" for i in range(self.photos)],
            }
        ).sort_values("fold", kind="stable", ignore_index=True)
        members = [self._member(k, index, generator) for k in range(len(self.skills))]
        return OofTable.of(index, members)

    def _member(self, k: int, index: pd.DataFrame, generator: np.random.Generator) -> MemberOof:
        log_p = self._log_probabilities(k, index["class_index"].to_numpy(), generator)
        predictions = []
        for fold in range(1, self.folds + 1):
            # Stored in another order than the table's.
            rows = generator.permutation(np.flatnonzero(index["fold"] == fold))
            stored = index.iloc[rows][["image_id", "class_index", "fold"]].reset_index(drop=True)
            predictions.append(Predictions(stored, tuple(self.views), log_p[:, rows]))
        cost = None if self.costs is None else self.costs[k]
        return MemberOof(f"m{k}", tuple(predictions), 20.0 - 5 * k, cost)

    def _log_probabilities(
        self, k: int, targets: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.float32]:
        """``[views, photos, classes]``."""
        own = generator.normal(0, 1, (self.photos, self.classes))
        log_p = np.empty((len(self.views), self.photos, self.classes), np.float32)
        for view, shift in enumerate(self.view_shift):
            # Two classes one apart by s in a normal of variance s have the likelihood ratio as
            # their difference: s * onehot + sqrt(s) * noise are calibrated logits.
            s = max(0.05, self.skills[k] + shift)
            noise = 0.8 * own + 0.6 * generator.normal(0, 1, (self.photos, self.classes))
            logits = np.sqrt(s) * noise
            logits[np.arange(self.photos), targets] += s
            logits *= 1.0 if self.temperatures is None else self.temperatures[k]
            log_p[view] = log_softmax(logits, axis=1)
        return log_p

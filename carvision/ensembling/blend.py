"""A blend: how candidates are tempered, weighed and mixed; fitted on some photos, tried on others.

Weights are always fitted for the arithmetic mixture, whose log loss needs the true class alone. A
geometric mixture, ``log p = sum(w log p_k)`` normalised again, takes the same weights; its score
reads whole predictions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from carvision.contracts import tempered
from carvision.ensembling.mix import MIN_LOG_PROBABILITY, normalised
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.rules import RULES
from carvision.ensembling.temperature_grid import TemperatureGrid
from carvision.metrics import CLIP

Mixing = Literal["arithmetic", "geometric"]


@dataclass(frozen=True)
class Blend:
    """The settings of a mixture, apart from the weights that its rule fits.

    ``temperatures`` is one for each member, ``admitted`` says which candidates the rule may use.
    ``shrinkage`` moves the weights towards equal ones over the candidates that the rule uses:
    against overfitting, and at no cost in inference.
    """

    rule: str
    temperatures: tuple[float, ...]
    admitted: tuple[bool, ...]
    mixing: Mixing = "arithmetic"
    shrinkage: float = 0.0

    @classmethod
    def plain(cls, table: OofTable, rule: str) -> Self:
        """``rule`` over everything, untempered."""
        return cls(rule, (1.0,) * len(table.members), (True,) * len(table.candidates))

    def fit(
        self, true_class: NDArray[np.floating], plan: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Weights ``[candidates]`` by probabilities of the true class ``[images, candidates]``."""
        chosen = np.flatnonzero(self.admitted)
        own = RULES[self.rule](true_class[:, chosen], plan[chosen])
        used = own > 0
        weights = np.zeros(len(plan))
        weights[chosen] = (1 - self.shrinkage) * own + self.shrinkage * used / used.sum()
        return normalised(weights)


@dataclass(frozen=True)
class Scorer:
    """Scores blends on a table's photos."""

    table: OofTable
    grid: TemperatureGrid

    def true_class(self, blend: Blend) -> NDArray[np.float64]:
        """Tempered probabilities of the true class ``[images, candidates]``."""
        log_p = self.grid.at(np.array(blend.temperatures)).astype(np.float64)
        return np.maximum(np.exp(log_p), CLIP)

    def weights(self, blend: Blend, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Fitted on the photos ``rows``."""
        return blend.fit(self.true_class(blend)[rows], self.table.plan_weights)

    def fitted(self, blend: Blend, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The true class's log-probability ``[rows]``, by weights fitted on the same photos."""
        p = self.true_class(blend)[rows]
        return self._mixed(blend, blend.fit(p, self.table.plan_weights), p, rows)

    def cross_fitted(
        self, blend: Blend, rows: NDArray[np.int64], crossfit_folds: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The true class's log-probability ``[rows]``, by weights fitted without a photo's fold.

        ``crossfit_folds`` numbers the fold of each of ``rows``: its fold, where there are several.
        """
        p = self.true_class(blend)[rows]
        found = np.empty(len(rows))
        for fold in np.unique(crossfit_folds):
            held_out = crossfit_folds == fold
            weights = blend.fit(p[~held_out], self.table.plan_weights)
            found[held_out] = self._mixed(blend, weights, p[held_out], rows[held_out])
        return found

    def apply(
        self, blend: Blend, weights: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The true class's log-probability ``[rows]``, by weights that are given."""
        return self._mixed(blend, weights, self.true_class(blend)[rows], rows)

    def _mixed(
        self,
        blend: Blend,
        weights: NDArray[np.float64],
        p: NDArray[np.float64],
        rows: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        if blend.mixing == "arithmetic":
            return np.log(p @ weights)
        blocks = self._geometric(blend, weights, rows)
        return np.concatenate(
            [log_p[np.arange(len(own)), self.table.targets[own]] for own, log_p in blocks]
        )

    def _geometric(
        self, blend: Blend, weights: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Blocks of rows and their mixed log-probabilities ``[block, classes]``."""
        each = np.array(blend.temperatures)[self.table.member_of]
        for own in self.table.blocks(rows):
            mixed = np.zeros((len(own), self.table.classes), np.float32)
            for candidate in np.flatnonzero(weights).tolist():
                log_p = _floored(self.table.read(candidate, own), float(each[candidate]))
                mixed += np.float32(weights[candidate]) * log_p
            mixed -= mixed.max(axis=1, keepdims=True)
            mixed -= np.log(np.exp(mixed).sum(axis=1, keepdims=True))
            yield own, mixed

    def log_probabilities(
        self, blend: Blend, weights: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The whole mixture, ``[rows, classes]``, by exact temperatures."""
        if blend.mixing == "geometric":
            return np.concatenate([log_p for _, log_p in self._geometric(blend, weights, rows)])
        each = np.array(blend.temperatures)[self.table.member_of]
        found = np.empty((len(rows), self.table.classes), np.float32)
        done = 0
        for own in self.table.blocks(rows):
            mixed = np.zeros((len(own), self.table.classes), np.float32)
            for k in np.flatnonzero(weights).tolist():
                # Log-probabilities, even divided by the coldest temperature, need no peak
                # subtracted: a row's largest is at most the logarithm of the classes below zero.
                power = np.exp(self.table.read(k, own) / np.float32(each[k]))
                power *= np.float32(weights[k]) / power.sum(axis=1, keepdims=True)
                mixed += power
            # What is too small for float32 is zero: the metric clips it long before.
            with np.errstate(divide="ignore"):
                np.log(np.minimum(mixed, 1), out=found[done : done + len(own)])
            done += len(own)
        return found


def _floored(log_p: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Tempered ``[rows, classes]``, up to a number for each row, and nowhere infinitely low.

    Those numbers cancel in a geometric mixture; only where the floor is near do they tell.
    """
    scaled = log_p / np.float32(temperature)
    # A normalising sum lies within the logarithm of the classes, times 1/T - 1.
    margin = np.log(log_p.shape[1]) / min(1.0, temperature)
    if scaled.min() > MIN_LOG_PROBABILITY + margin:
        return scaled
    floored: NDArray[np.float32] = np.maximum(tempered(log_p, temperature), MIN_LOG_PROBABILITY)
    return floored.astype(np.float32)

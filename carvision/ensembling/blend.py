"""Blends: which candidates are mixed, at which temperatures, and by which rule for the weights.

Weights are always fitted for the arithmetic mixture, whose log loss needs the true class alone. A
geometric mixture takes the same weights; its score reads whole predictions, a block at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from carvision.contracts.ensemble import Mixing
from carvision.ensembling.mix import Mixture, mixed_true_class, normalised
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.rules import RULES
from carvision.ensembling.temperature_grid import TemperatureGrid
from carvision.metrics import CLIP


@dataclass(frozen=True)
class Blend:
    """The settings of a mixture, apart from the weights that its rule fits.

    ``temperatures`` holds one for each member; ``admitted`` says for each candidate whether the
    rule may use it. ``shrinkage`` moves the weights towards equal ones over the candidates that
    the rule uses: it guards against overfitting and makes inference no slower.
    """

    rule: str
    temperatures: tuple[float, ...]
    admitted: tuple[bool, ...]
    mixing: Mixing = "arithmetic"
    shrinkage: float = 0.0

    @classmethod
    def plain(cls, table: OofTable, rule: str) -> Self:
        """``rule`` over all candidates at temperatures of one."""
        return cls(rule, (1.0,) * len(table.members), (True,) * len(table.candidates))

    def fit(
        self, true_class: NDArray[np.floating], plan_weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Fit weights ``[candidates]``; ``true_class`` is ``[images, candidates]``."""
        chosen = np.flatnonzero(self.admitted)
        own = RULES[self.rule](true_class[:, chosen], plan_weights[chosen])
        used = own > 0
        weights = np.zeros(len(plan_weights))
        weights[chosen] = (1 - self.shrinkage) * own + self.shrinkage * used / used.sum()
        return normalised(weights)


@dataclass(frozen=True)
class Scorer:
    """Fits blends to a table's photos and scores them.

    ``rows`` are numbers of photos in the table; log-probabilities are in nats.
    """

    table: OofTable
    grid: TemperatureGrid

    def true_class(self, blend: Blend) -> NDArray[np.float64]:
        """Tempered probabilities of the true class, ``[images, candidates]``."""
        log_p = self.grid.at(np.array(blend.temperatures)).astype(np.float64)
        return np.maximum(np.exp(log_p), CLIP)

    def weights(self, blend: Blend, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Weights ``[candidates]`` fitted to the photos ``rows``."""
        return blend.fit(self.true_class(blend)[rows], self.table.plan_weights)

    def fitted(self, blend: Blend, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """The true class's log-probability ``[rows]`` by weights fitted to the same photos."""
        p = self.true_class(blend)[rows]
        return self._mixed_true_class(blend, blend.fit(p, self.table.plan_weights), p, rows)

    def cross_fitted(
        self, blend: Blend, rows: NDArray[np.int64], crossfit_folds: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The true class's log-probability ``[rows]`` by weights fitted without the photo's fold.

        ``crossfit_folds`` ``[rows]`` numbers the cross-fitting fold of each photo.
        """
        p = self.true_class(blend)[rows]
        found = np.empty(len(rows))
        for fold in np.unique(crossfit_folds):
            held_out = crossfit_folds == fold
            weights = blend.fit(p[~held_out], self.table.plan_weights)
            found[held_out] = self._mixed_true_class(blend, weights, p[held_out], rows[held_out])
        return found

    def log_probabilities(
        self, blend: Blend, weights: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Log-probabilities of the mixture, ``[rows, classes]``, with exact temperatures."""
        found = np.empty((len(rows), self.table.classes), np.float32)
        done = 0
        for block, log_p in self._mixed_blocks(blend, weights, rows):
            # Weights that sum to one but for rounding may give more than a probability of one.
            np.minimum(log_p, 0, out=found[done : done + len(block)])
            done += len(block)
        return found

    def _mixed_true_class(
        self,
        blend: Blend,
        weights: NDArray[np.float64],
        p: NDArray[np.float64],
        rows: NDArray[np.int64],
    ) -> NDArray[np.floating]:
        """The true class's log-probability ``[rows]``; ``p`` is ``[rows, candidates]``."""
        if blend.mixing == "arithmetic":
            return mixed_true_class(p, weights)
        blocks = self._mixed_blocks(blend, weights, rows)
        return np.concatenate(
            [log_p[np.arange(len(block)), self.table.targets[block]] for block, log_p in blocks]
        )

    def _mixed_blocks(
        self, blend: Blend, weights: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Blocks of ``rows`` and their mixed log-probabilities ``[block, classes]``."""
        temperatures = np.array(blend.temperatures)[self.table.member_of]
        for block in self.table.blocks(rows):
            mixture = Mixture(blend.mixing)
            for k in np.flatnonzero(weights).tolist():
                mixture.add(float(weights[k]), self.table.read(k, block), float(temperatures[k]))
            yield block, mixture.log_probabilities()

"""The true class's probability at any temperature, by interpolation on a grid.

Tempering divides log-probabilities by T and normalises again over all classes (Guo et al., arXiv
1706.04599): 43 ms for one candidate of the competition. At equal steps of 1/T the normalising sums
of a whole grid cost one power and a multiplication each; between them a cubic through four points
of the grid is off by less than 1e-3 nats.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from carvision.ensembling.oof_predictions import OofTable
from carvision.metrics import CLIP

#: The temperatures that a study may choose.
COLDEST, HOTTEST = 0.4, 4.0
_STEP = 0.125
#: 1/T of the grid: one point more at each end than is ever asked for.
_INVERSE = np.arange(1 / HOTTEST - _STEP, 1 / COLDEST + 2 * _STEP, _STEP)
#: Nats: a zero probability, for shares of mixed signs would make NaN of infinite values. So low
#: that at the hottest temperature, too, it is what the metric clips.
_ZERO = float(np.log(CLIP) / _INVERSE[0])


@dataclass(frozen=True)
class TemperatureGrid:
    """The true class's log-probability at each temperature, ``[candidates, grid, images]``."""

    table: OofTable
    values: NDArray[np.float32]

    @classmethod
    def of(cls, table: OofTable, advance: Callable[[int], None] = lambda images: None) -> Self:
        """Read every prediction once; ``advance`` is told of photos that are done."""
        shape = (len(table.candidates), len(_INVERSE), len(table.index))
        values = np.empty(shape, np.float32)
        for rows in table.blocks():
            for candidate in range(len(table.candidates)):
                values[candidate][:, rows] = _tempered_columns(
                    table.read(candidate, rows), table.targets[rows]
                )
            advance(len(rows))
        return cls(table, values)

    def at(self, temperatures: NDArray[np.floating]) -> NDArray[np.float32]:
        """Log-probabilities ``[images, candidates]``, ``temperatures`` one for each member.

        A temperature of one is not interpolated.
        """
        each = np.asarray(temperatures, dtype=np.float64)[self.table.member_of]
        found = np.empty((len(each), self.values.shape[2]), np.float32)
        for candidate, temperature in enumerate(each):
            if temperature == 1:
                found[candidate] = self.table.log_true_class[:, candidate]
                continue
            place = (1 / temperature - _INVERSE[0]) / _STEP
            first = int(np.clip(np.floor(place) - 1, 0, len(_INVERSE) - 4))
            shares = _lagrange(place - first).astype(np.float32)
            found[candidate] = shares @ self.values[candidate, first : first + 4]
        return found.T


def _lagrange(x: float) -> NDArray[np.float64]:
    """The shares of points 0, 1, 2, 3 in the cubic through them, at ``x``."""
    points = np.arange(4.0)
    return np.array(
        [np.prod([(x - q) / (p - q) for q in points if q != p]) for p in points], np.float64
    )


def _tempered_columns(
    log_p: NDArray[np.float32], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The true class's log-probability at each temperature of the grid, ``[grid, rows]``."""
    below_peak = log_p - log_p.max(axis=1, keepdims=True)
    truth = np.maximum(below_peak[np.arange(len(log_p)), targets].astype(np.float64), _ZERO)
    power = np.exp(below_peak * np.float32(_INVERSE[0]))
    step = np.exp(below_peak * np.float32(_STEP))
    found = np.empty((len(_INVERSE), len(log_p)))
    for i, inverse in enumerate(_INVERSE):
        found[i] = inverse * truth - np.log(power.sum(axis=1))
        power *= step
    return found

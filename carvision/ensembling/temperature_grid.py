"""The true class's probability at any temperature, interpolated on a grid.

A temperature changes the normalising sum over all classes, which takes 43 ms for one candidate at
the competition's size. On a grid of equal steps in 1/T each further sum takes one multiplication of
the powers. A cubic through four points of the grid is within 1e-3 nats of the exact value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from carvision.ensembling.oof_predictions import OofTable
from carvision.metrics import CLIP

#: The range of temperatures that a study may choose.
COLDEST: Final = 0.4
HOTTEST: Final = 4.0
_STEP: Final = 0.125
#: 1/T of the grid, with one point more at each end than the range needs.
_INVERSE: Final = np.arange(1 / HOTTEST - _STEP, 1 / COLDEST + 2 * _STEP, _STEP)
#: Nats. The logarithm of a zero probability, as interpolating infinite values would give NaN. Even
#: at the hottest temperature it is so low that the metric clips it.
_ZERO: Final = float(np.log(CLIP) / _INVERSE[0])


@dataclass(frozen=True)
class TemperatureGrid:
    """The true class's log-probability at each temperature, ``[candidates, grid, images]``."""

    table: OofTable
    values: NDArray[np.float32]

    @classmethod
    def of(cls, table: OofTable, advance: Callable[[int], None] = lambda images: None) -> Self:
        """Read every prediction once; ``advance`` gets the number of photos of each block."""
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
        """Log-probabilities ``[images, candidates]`` at ``temperatures`` ``[members]``.

        At a temperature of one they are exact.
        """
        each = np.asarray(temperatures, dtype=np.float64)[self.table.member_of]
        found = np.empty((len(each), self.values.shape[2]), np.float32)
        for candidate, temperature in enumerate(each):
            if temperature == 1:
                found[candidate] = self.table.log_true_class[:, candidate]
                continue
            place = (1 / temperature - _INVERSE[0]) / _STEP
            first = int(np.clip(np.floor(place) - 1, 0, len(_INVERSE) - 4))
            weights = _lagrange_weights(place - first).astype(np.float32)
            found[candidate] = weights @ self.values[candidate, first : first + 4]
        return found.T


def _lagrange_weights(x: float) -> NDArray[np.float64]:
    """The weights of the values at 0, 1, 2 and 3 in the cubic through them, at ``x``."""
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

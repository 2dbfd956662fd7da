"""Whether two specifications are of one ensemble, whatever machine they were computed on."""

import math
from typing import Any, Final

from carvision.contracts.ensemble import EnsembleSpec

#: Another number of BLAS threads adds in another order: weights and scores are then 1e-15 apart.
_ROUNDING: Final = 1e-9


def same_ensemble(first: EnsembleSpec, second: EnsembleSpec) -> bool:
    """Whether they are equal but for what rounding makes of weights, temperatures and scores."""
    return _alike(first.model_dump(), second.model_dump())


def _alike(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_alike(first[k], second[k]) for k in first)
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(_alike, first, second))
    return bool(first == second)

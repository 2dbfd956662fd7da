"""Compare two specifications, up to the rounding of different machines."""

import math
from typing import Any, Final

from carvision.contracts.ensemble import EnsembleSpec

#: With another number of BLAS threads sums differ by 1e-15, and weights and scores with them.
_ROUNDING: Final = 1e-9


def same_ensemble(first: EnsembleSpec, second: EnsembleSpec) -> bool:
    """Whether two ensembles are equal, apart from rounding of weights, temperatures and scores."""
    return _alike(first.model_dump(), second.model_dump())


def _alike(first: Any, second: Any) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_alike(first[k], second[k]) for k in first)
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(_alike, first, second))
    return bool(first == second)

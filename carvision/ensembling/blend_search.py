"""The search for a blend: temperatures, mixing, weight rule, admitted candidates and shrinkage.

This is what is not convex; the weights themselves are solved inside each trial. A trial's value is
the cross-fitted log loss: a fitted one would always reject shrinkage. Every rule is tried first, so
the best trial is never worse than any of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.blend_starts import affordable_starts, cost_of, simple_starts
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.rules import RULES
from carvision.ensembling.study_space import StudySpace
from carvision.ensembling.temperature_grid import COLDEST, HOTTEST
from carvision.errors import ConfigError
from carvision.metrics import log_loss_of_true_class


@dataclass(frozen=True)
class BlendProblem:
    """The blend of the lowest cross-fitted log loss on the photos ``rows`` of the scorer's table.

    ``crossfit_folds`` ``[rows]`` numbers the fold that each photo's weights are fitted without.
    ``budget`` is the highest cost of an ensemble, in seconds for 1,000 photos; None sets no limit.

    Raises:
        ConfigError: there is a budget, but the costs are unknown or nothing is within it.
    """

    scorer: Scorer
    rows: NDArray[np.int64]
    crossfit_folds: NDArray[np.int64]
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.budget is not None:
            _check_budget(self.scorer.table, self.budget)

    @cached_property
    def space(self) -> StudySpace:
        """The parameters of a trial, each of which describes a blend."""
        return StudySpace(self._parameters.distributions())

    def decode(self, params: Mapping[str, Any]) -> Blend:
        """The blend that a trial's parameters describe."""
        return self._parameters.decode(params)

    def score(self, blend: Blend) -> float | None:
        """The cross-fitted log loss; None if nothing is admitted, or if it costs too much."""
        if not any(blend.admitted):
            return None
        if self.budget is not None:
            weights = self.scorer.weights(blend, self.rows)
            if cost_of(self.scorer.table, weights) > self.budget:
                return None
        log_p = self.scorer.cross_fitted(blend, self.rows, self.crossfit_folds)
        return log_loss_of_true_class(log_p)

    def starts(self) -> dict[str, dict[str, object]]:
        """The parameters of simple blends, and of some within the budget."""
        blends = simple_starts(self.scorer, self.rows)
        if self.budget is not None:
            blends |= affordable_starts(self.scorer, self.rows, self.budget)
        return {name: self._parameters.encode(blend) for name, blend in blends.items()}

    @cached_property
    def _parameters(self) -> "_BlendParameters":
        return _BlendParameters(self.scorer.table)


class _BlendParameters:
    """Blends as the parameters of trials, and back."""

    def __init__(self, table: OofTable) -> None:
        self._table = table
        self._members = [member.name for member in table.members]
        self._views = list(dict.fromkeys(view for _, view in table.candidates))

    def distributions(self) -> dict[str, BaseDistribution]:
        """The distribution of each parameter, by name."""
        return (
            {
                "rule": CategoricalDistribution(list(RULES)),
                "mixing": CategoricalDistribution(["arithmetic", "geometric"]),
                "shrinkage": FloatDistribution(0.0, 1.0),
            }
            | {
                f"temperature/{member}": FloatDistribution(COLDEST, HOTTEST, log=True)
                for member in self._members
            }
            | {switch: CategoricalDistribution([True, False]) for switch in self._switches()}
        )

    def decode(self, params: Mapping[str, Any]) -> Blend:
        """The blend of these parameters."""
        admitted = tuple(
            all(bool(params.get(switch, True)) for switch in _switches_of(*pair))
            for pair in self._table.candidates
        )
        return Blend(
            params["rule"],
            tuple(float(params[f"temperature/{name}"]) for name in self._members),
            admitted,
            params["mixing"],
            float(params["shrinkage"]),
        )

    def encode(self, blend: Blend) -> dict[str, object]:
        """The inverse of :meth:`decode`, for a blend that admits the same views of some members."""
        temperatures = dict(zip(self._members, blend.temperatures, strict=True))
        pairs = zip(self._table.candidates, blend.admitted, strict=True)
        inside = {name for pair, on in pairs if on for name in _switches_of(*pair)}
        return {
            "rule": blend.rule,
            "mixing": blend.mixing,
            "shrinkage": blend.shrinkage,
            **{f"temperature/{name}": value for name, value in temperatures.items()},
            **{switch: switch in inside for switch in self._switches()},
        }

    def _switches(self) -> Sequence[str]:
        """The parameters that admit a member or a view; a single one is always admitted."""
        members = [f"member/{name}" for name in self._members] if len(self._members) > 1 else []
        views = [f"view/{view}" for view in self._views] if len(self._views) > 1 else []
        return members + views


def _switches_of(member: str, view: str) -> tuple[str, str]:
    """The parameters that must both be on for a candidate to be admitted."""
    return f"member/{member}", f"view/{view}"


def _check_budget(table: OofTable, budget: float) -> None:
    if table.cost is None:
        raise ConfigError(
            "budget: a member's time to predict was never measured, as it was trained by an "
            "earlier version; train it again (resume=never), or leave the budget out"
        )
    if table.cost.min() > budget:
        cheapest = " ".join(table.candidates[int(table.cost.argmin())])
        raise ConfigError(
            f"budget={budget}: no ensemble costs so little; {cheapest} alone takes "
            f"{table.cost.min():.3g} seconds for 1,000 photos"
        )

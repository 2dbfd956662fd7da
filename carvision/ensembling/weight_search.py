"""The search for raw weights, as it is usually done: one parameter for each candidate.

``tune`` offers it as ``method=weights`` for a comparison with the exact solution, and the benchmark
measures it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution

from carvision.ensembling.mix import normalised
from carvision.ensembling.oof_predictions import Candidate
from carvision.ensembling.study_space import StudySpace


@dataclass(frozen=True)
class WeightProblem:
    """The weights ``[candidates]`` of the lowest log loss.

    ``log_loss`` computes it in nats for weights that sum to one. ``member_weights`` are the plan's,
    by the member's name.
    """

    candidates: Sequence[Candidate]
    member_weights: Mapping[str, float]
    log_loss: Callable[[NDArray[np.float64]], float]

    @property
    def space(self) -> StudySpace:
        """A number from zero to one for each candidate."""
        return StudySpace(dict.fromkeys(self._names, FloatDistribution(0.0, 1.0)))

    def decode(self, params: Mapping[str, Any]) -> NDArray[np.float64]:
        """The weights, scaled to sum to one."""
        return normalised(np.array([params[name] for name in self._names], dtype=np.float64))

    def score(self, weights: NDArray[np.float64]) -> float:
        """The log loss in nats."""
        return self.log_loss(weights)

    def starts(self) -> dict[str, dict[str, float]]:
        """The parameters of :func:`simple_weights`."""
        rules = simple_weights(self.candidates, self.member_weights)
        return {
            name: dict(zip(self._names, weights.tolist(), strict=True))
            for name, weights in rules.items()
        }

    @property
    def _names(self) -> list[str]:
        return [f"{member}/{view}" for member, view in self.candidates]


def simple_weights(
    candidates: Sequence[Candidate], member_weights: Mapping[str, float]
) -> dict[str, NDArray[np.float64]]:
    """Weights ``[candidates]`` by simple rules: the study's best is never worse than any of them.

    ``member_weights`` are the plan's, which are spread equally over a member's views.
    """
    members = list(dict.fromkeys(member for member, _ in candidates))
    rules = {
        "equal": np.ones(len(candidates)),
        "plan": np.array([member_weights[member] for member, _ in candidates]),
    }
    for i, (member, view) in enumerate(candidates):
        rules[f"{member} {view}"] = np.eye(len(candidates))[i]
    for member in members:
        own = np.array([float(name == member) for name, _ in candidates])
        rules[f"{member} all views"] = own
    for view in dict.fromkeys(view for _, view in candidates):
        rules[f"all members {view}"] = np.array([float(name == view) for _, name in candidates])
    return {name: normalised(weights) for name, weights in rules.items()}

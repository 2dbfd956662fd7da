"""The parameters of a study's trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution


@dataclass(frozen=True)
class StudySpace:
    """The parameters that every trial of a study has: floats and choices, by name."""

    distributions: Mapping[str, BaseDistribution]

    def suggest(self, trial: optuna.Trial) -> None:
        """Draw all parameters; afterwards they stand in ``trial.params``."""
        for name, kind in self.distributions.items():
            if isinstance(kind, CategoricalDistribution):
                trial.suggest_categorical(name, kind.choices)
            elif isinstance(kind, FloatDistribution):
                trial.suggest_float(name, kind.low, kind.high, log=kind.log)

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial can have these parameters."""
        return params.keys() == self.distributions.keys() and all(
            _contains(kind, params[name]) for name, kind in self.distributions.items()
        )


def _contains(kind: BaseDistribution, value: object) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return value in kind.choices
    assert isinstance(kind, FloatDistribution)  # a space has no other
    return isinstance(value, float | int) and kind.low <= value <= kind.high

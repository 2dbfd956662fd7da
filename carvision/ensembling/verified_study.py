"""A stored study whose best values are computed again before they count.

A study lies in a file to which anybody may write. The values that it holds when it is opened are
therefore recomputed, from the best one on, until one is confirmed; values that this process
computes itself are trusted.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from carvision.ensembling.study_space import StudySpace

#: Trials that a warning lists.
_LISTED: Final = 3
#: By how much rounding may change a value on another machine: relative, and in nats.
_RELATIVE: Final = 1e-6
_ABSOLUTE: Final = 1e-9

log = logging.getLogger(__name__)

#: The value of a trial by its parameters; None where no trial of the study can have them.
Recompute = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class VerifiedStudy:
    """A study, and the values of the trials that were stored with a wrong one.

    ``corrected`` maps a trial's number to its right value; this is infinity for a trial that the
    study cannot have made.
    """

    study: optuna.Study
    corrected: Mapping[int, float]

    @classmethod
    def of(cls, study: optuna.Study, space: StudySpace, recompute: Recompute) -> "VerifiedStudy":
        """Recompute the best values until one is confirmed, and warn about wrong ones."""
        corrected: dict[int, float] = {}
        best = math.inf
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        for trial in sorted(complete, key=lambda trial: trial.value or 0.0):
            assert trial.value is not None  # it is complete
            if trial.value >= best:
                break
            again = recompute(trial.params) if space.contains(trial.params) else None
            value = math.inf if again is None else again
            if not math.isclose(value, trial.value, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE):
                corrected[trial.number] = value
            best = min(best, value)
        if corrected:
            _warn(study, corrected)
        return cls(study, corrected)

    @property
    def complete(self) -> list[FrozenTrial]:
        """The finished trials that can be the best."""
        every = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial for trial in every if math.isfinite(self.value(trial))]

    @property
    def done(self) -> int:
        """The number of finished and pruned trials whose values are right."""
        states = (TrialState.COMPLETE, TrialState.PRUNED)
        return len(self.study.get_trials(deepcopy=False, states=states)) - len(self.corrected)

    @property
    def best(self) -> FrozenTrial:
        """The finished trial of the lowest value, the first one among equals."""
        return min(self.complete, key=lambda trial: (self.value(trial), trial.number))

    @property
    def best_value(self) -> float:
        """The lowest value so far; NaN without any."""
        return min(map(self.value, self.complete), default=math.nan)

    @property
    def without_wrong_trials(self) -> optuna.Study:
        """The study without the trials that were stored with a wrong value."""
        if not self.corrected:
            return self.study
        study = optuna.create_study(study_name=self.study.study_name)
        every = self.study.get_trials(deepcopy=False)
        study.add_trials([trial for trial in every if trial.number not in self.corrected])
        return study

    def value(self, trial: FrozenTrial) -> float:
        """A finished trial's right value."""
        assert trial.value is not None  # it is finished
        return self.corrected.get(trial.number, trial.value)


def _warn(study: optuna.Study, corrected: Mapping[int, float]) -> None:
    listed = []
    for number, value in list(corrected.items())[:_LISTED]:
        again = f"computed again {value:.4f}" if math.isfinite(value) else "of another search"
        listed.append(f"{number} (stored {study.trials[number].value:.4f}, {again})")
    more = f" and {len(corrected) - _LISTED} more" if len(corrected) > _LISTED else ""
    log.warning(
        "the study %s stores wrong values, which do not count: trials %s%s",
        study.study_name,
        ", ".join(listed),
        more,
    )

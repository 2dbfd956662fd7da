"""Studies of a stated problem: where they begin, how many trials they come to, what is believed.

A study lies in a file to which anybody may write. What it holds when it is opened is computed again
before it wins, from the best value on; what this process computes itself is believed.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from carvision.errors import ConfigError
from carvision.optuna_storage import close_interrupted, open_study, refuse_other_choices

_PROBLEM: Final = "problem"
_NAMED = 3
#: What rounding may make of a value on another machine, relative and in nats.
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9

log = logging.getLogger(__name__)

#: A value by the parameters of a trial; None where no trial of the study can have them.
Recompute = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class Space:
    """The parameters of every trial of a study: floats, and choices."""

    distributions: Mapping[str, BaseDistribution]

    def suggest(self, trial: optuna.Trial) -> None:
        """Draw all of them; ``trial.params`` has them."""
        for name, kind in self.distributions.items():
            if isinstance(kind, CategoricalDistribution):
                trial.suggest_categorical(name, kind.choices)
            elif isinstance(kind, FloatDistribution):
                trial.suggest_float(name, kind.low, kind.high, log=kind.log)

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether a trial can have these parameters."""
        return params.keys() == self.distributions.keys() and all(
            _may_be(kind, params[name]) for name, kind in self.distributions.items()
        )


def _may_be(kind: BaseDistribution, value: object) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return value in kind.choices
    assert isinstance(kind, FloatDistribution)  # a space has no other
    return isinstance(value, float | int) and kind.low <= value <= kind.high


@dataclass(frozen=True)
class Checked:
    """A study, and the values of its trials that are other ones than it says.

    ``corrected`` has infinity for a trial that the study cannot have made.
    """

    study: optuna.Study
    corrected: Mapping[int, float]

    @property
    def complete(self) -> list[FrozenTrial]:
        """Finished trials that can win."""
        every = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial for trial in every if math.isfinite(self.value(trial))]

    @property
    def best(self) -> FrozenTrial:
        """The finished trial of the lowest value, the first of equal ones."""
        return min(self.complete, key=lambda trial: (self.value(trial), trial.number))

    @property
    def lowest(self) -> float:
        """The lowest value so far; NaN without any."""
        return min(map(self.value, self.complete), default=math.nan)

    @property
    def believed(self) -> optuna.Study:
        """The study without the trials that do not count: infinities cannot be drawn."""
        if not self.corrected:
            return self.study
        study = optuna.create_study(study_name=self.study.study_name)
        every = self.study.get_trials(deepcopy=False)
        study.add_trials([trial for trial in every if trial.number not in self.corrected])
        return study

    def value(self, trial: FrozenTrial) -> float:
        """A finished trial's value."""
        assert trial.value is not None  # it is finished
        return self.corrected.get(trial.number, trial.value)


def checked(study: optuna.Study, space: Space, recompute: Recompute) -> Checked:
    """Compute what would win again, until the best value is one that was."""
    corrected: dict[int, float] = {}
    best = math.inf
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    for trial in sorted(complete, key=lambda trial: trial.value or 0.0):
        assert trial.value is not None  # it is complete
        if trial.value >= best:
            break
        again = recompute(trial.params) if space.holds(trial.params) else None
        value = math.inf if again is None else again
        if not math.isclose(value, trial.value, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE):
            corrected[trial.number] = value
        best = min(best, value)
    if corrected:
        _warn(study, corrected)
    return Checked(study, corrected)


def _warn(study: optuna.Study, corrected: Mapping[int, float]) -> None:
    named = []
    for number, value in list(corrected.items())[:_NAMED]:
        again = f"computed again {value:.4f}" if math.isfinite(value) else "not of this search"
        named.append(f"{number} (stored {study.trials[number].value:.4f}, {again})")
    more = f" and {len(corrected) - _NAMED} more" if len(corrected) > _NAMED else ""
    log.warning(
        "the study %s stores values that its trials do not have; they do not count: trials %s%s",
        study.study_name,
        ", ".join(named),
        more,
    )


def study_of(problem: str, name: str, storage: str | None, seed: int, space: Space) -> optuna.Study:
    """The study of this name, new or as it was left; ``problem`` says what is minimised, on what.

    Raises:
        ConfigError: the study of this name is of another problem, or of other parameters.
    """
    study = open_study(name, storage, seed)
    held = study.user_attrs.get(_PROBLEM, problem)
    if held != problem:
        raise ConfigError(
            f"the study {name!r} in {storage} is of other data ({held}, not {problem}); remove it: "
            f"optuna delete-study --study-name {name} --storage {storage}"
        )
    refuse_other_choices(study, space.distributions, storage)
    study.set_user_attr(_PROBLEM, problem)
    close_interrupted(study)
    return study


def enqueue_missing(study: optuna.Study, starts: Mapping[str, Mapping[str, object]]) -> None:
    """Enqueue every start that no trial has tried, or waits to try; equal ones count as one.

    What waits and is no start was enqueued by others, and is closed.
    """
    _close_strangers(study, starts)
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING)
    known = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=states)]
    for name, params in starts.items():
        if params not in known:
            study.enqueue_trial(dict(params), user_attrs={"start": name})
            known.append(dict(params))


def _close_strangers(study: optuna.Study, starts: Mapping[str, Mapping[str, object]]) -> None:
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    known = [dict(params) for params in starts.values()]
    if all(trial.system_attrs.get("fixed_params") in known for trial in waiting):
        return
    # They can be closed in their order alone; the starts among them are enqueued again.
    for _ in waiting:
        study.tell(study.ask(), state=TrialState.FAIL)


def run_to(
    opened: Checked,
    objective: Callable[[optuna.Trial], float],
    trials: int,
    on_trial: Callable[[float], None] = lambda best: None,
    on_start: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Try until the study has ``trials`` in total; what was enqueued is tried in any case.

    Trials whose values are not believed do not count. ``on_start`` gets the number of trials that
    are done already and that of all, ``on_trial`` the best value so far.
    """
    study = opened.study
    waiting = len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
    done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
    done -= len(opened.corrected)
    remaining = max(trials - done, waiting, 0)
    on_start(done, done + remaining)
    if remaining > 0:
        study.optimize(
            objective, n_trials=remaining, callbacks=[lambda study, _: on_trial(opened.lowest)]
        )

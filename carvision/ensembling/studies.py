"""Studies of a stated problem: where they begin, and how many trials they come to."""

from collections.abc import Callable, Mapping
from typing import Final

import optuna
from optuna.trial import TrialState

from carvision.errors import ConfigError
from carvision.studies import close_interrupted, open_study

_PROBLEM: Final = "problem"


def study_of(problem: str, name: str, storage: str | None, seed: int) -> optuna.Study:
    """The study of this name, new or as it was left; ``problem`` says what is minimised, on what.

    Raises:
        ConfigError: the study of this name is of another problem.
    """
    study = open_study(name, storage, seed)
    held = study.user_attrs.get(_PROBLEM, problem)
    if held != problem:
        raise ConfigError(
            f"the study {name!r} in {storage} is of other data ({held}, not {problem}); remove it: "
            f"optuna delete-study --study-name {name} --storage {storage}"
        )
    study.set_user_attr(_PROBLEM, problem)
    close_interrupted(study)
    return study


def enqueue_missing(study: optuna.Study, starts: Mapping[str, Mapping[str, object]]) -> None:
    """Enqueue every start that no trial has tried, or waits to try; equal ones count as one."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING)
    known = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=states)]
    for name, params in starts.items():
        if params not in known:
            study.enqueue_trial(dict(params), user_attrs={"start": name})
            known.append(dict(params))


def run_to(
    study: optuna.Study,
    objective: Callable[[optuna.Trial], float],
    trials: int,
    on_trial: Callable[[optuna.Study], None] = lambda study: None,
) -> None:
    """Try until the study has ``trials`` in total; what was enqueued is tried in any case."""
    waiting = len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
    done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))
    remaining = max(trials - done, waiting)
    if remaining > 0:
        study.optimize(objective, n_trials=remaining, callbacks=[lambda s, _: on_trial(s)])

"""Optuna studies that go on: opened again, closed where a process was killed, told where to begin.

The storage is not MLflow's database: both keep alembic tables, and neither opens the other's.
"""

import logging
from collections.abc import Callable, Mapping

import optuna
from optuna.trial import TrialState

from carvision.errors import ConfigError

optuna.logging.set_verbosity(optuna.logging.WARNING)
log = logging.getLogger(__name__)

_PROBLEM = "problem"


def open_study(name: str, storage: str | None, problem: str, sampler_seed: int) -> optuna.Study:
    """A study to minimise, new or as it was left; ``storage`` None keeps it in memory.

    ``problem`` names what is minimised, data included.

    Raises:
        ConfigError: the study of this name is of another problem.
    """
    study = optuna.create_study(
        study_name=name, storage=storage, direction="minimize", load_if_exists=True
    )
    held = study.user_attrs.get(_PROBLEM, problem)
    if held != problem:
        raise ConfigError(
            f"the study {name!r} in {storage} is of other data or settings ({held}, not "
            f"{problem}); remove or rename it: optuna delete-study --study-name {name} "
            f"--storage {storage}"
        )
    study.set_user_attr(_PROBLEM, problem)
    _close_interrupted(study)
    # The same seed again would draw the same first points again.
    study.sampler = optuna.samplers.TPESampler(
        seed=sampler_seed + len(study.trials), multivariate=True
    )
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


def _close_interrupted(study: optuna.Study) -> None:
    """A killed process leaves its trial running for ever."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        log.info("closing trial %d, left running by a process that was stopped", trial.number)
        study.tell(trial.number, state=TrialState.FAIL)

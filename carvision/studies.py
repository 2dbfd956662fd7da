"""Optuna studies in a file of their own, which go on after an interruption.

The file is not MLflow's database: both keep alembic tables, and neither opens the other's.
"""

import logging
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

STORAGE: Final = "sqlite:///optuna.db"

optuna.logging.set_verbosity(optuna.logging.WARNING)
log = logging.getLogger(__name__)


def open_study(
    name: str, storage: str | None, seed: int, *, startup_trials: int = 10
) -> optuna.Study:
    """The study of this name, new or as it was left: TPE, towards the lowest value.

    ``startup_trials`` are drawn at random before TPE has seen enough. Without a ``storage`` it
    lives in memory.
    """
    study = optuna.create_study(
        study_name=name, storage=storage, direction="minimize", load_if_exists=True
    )
    # The same seed again would draw the same first points again.
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(study.trials), n_startup_trials=startup_trials
    )
    return study


def close_interrupted(study: optuna.Study) -> list[FrozenTrial]:
    """Close the trials that a killed process left running for ever; they are returned."""
    left = study.get_trials(states=(TrialState.RUNNING,))
    for trial in left:
        log.info("closing trial %d, left running by a process that was stopped", trial.number)
        study.tell(trial.number, state=TrialState.FAIL)
    return left

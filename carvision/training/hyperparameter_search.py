"""The search over a configuration: one training a trial, stopped early where others did better.

The study holds all that is known of a search, so it goes on wherever it was stopped. A trial that
was under way then is tried again with the same values: its training finds its own checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Final

import numpy as np
import optuna
from optuna.pruners import MedianPruner
from optuna.trial import FrozenTrial, TrialState

from carvision.config import Config
from carvision.contracts import Tracker
from carvision.errors import DivergedError, PrunedError
from carvision.optuna_storage import close_interrupted, open_study, refuse_other_choices
from carvision.training.hyperparameter_space import (
    are_within,
    configured,
    distributions,
    starting_values,
    suggest,
)

#: What a trial says of itself: the trial that it continues, and the loss that exploded.
CONTINUES: Final = "continues"
DIVERGED: Final = "diverged"

#: Trainings are few: a search of the usual 20 is not to be half at random.
_STARTUP_TRIALS = 5
#: From fewer trainings than this, importance is noise.
_ENOUGH_TRIALS = 10

#: Trains with a configuration; the log loss. It tells :class:`TrialReporter` of each epoch.
Evaluate = Callable[[optuna.Trial, Config], float]
#: Whether a finished trial really has the value that the study says.
Believe = Callable[[FrozenTrial], bool]


def _all(trial: FrozenTrial) -> bool:
    """Of a study that nobody else writes to."""
    return True


class TrialReporter(Tracker):
    """Tells a trial of every epoch of one of its folds; ends the training that is no good.

    A trial's step counts the epochs of all its folds, and its value is the mean log loss over the
    folds begun: ``before`` holds the best ones of those that are finished.
    """

    def __init__(
        self, trial: optuna.Trial, epochs: int, folds: int, before: Sequence[float]
    ) -> None:
        self._trial = trial
        self._first_step = len(before) * epochs
        self._last_step = folds * epochs
        self._before = tuple(before)

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Report the epoch.

        Raises:
            PrunedError: half of the finished trials were better at this step.
        """
        step = self._first_step + epoch
        # An epoch that is trained again after an interruption is told once.
        if step not in _reported(self._trial):
            value = float(np.mean([*self._before, metrics["val/log_loss"]]))
            self._trial.report(value, step)
        if step < self._last_step and self._trial.should_prune():
            raise PrunedError(f"trial {self._trial.number} is stopped after epoch {epoch}")


def open_search(name: str, storage: str, config: Config) -> optuna.Study:
    """The study, new or gone on with; what comes first in a new one is the configuration itself.

    The first third of the epochs decides nothing: the learning rate is still high.

    Raises:
        ConfigError: the study of this name is of another search.
    """
    study = open_study(name, storage, config.seed, startup_trials=_STARTUP_TRIALS)
    refuse_other_choices(study, distributions(config), storage)
    study.pruner = MedianPruner(n_warmup_steps=ceil(config.train.epochs / 3))
    if not study.trials:
        study.enqueue_trial(starting_values(config))
    for trial in close_interrupted(study):
        if DIVERGED in trial.user_attrs:
            continue
        # A trial that had no time to draw its values had at least those that were waiting for it.
        values = trial.system_attrs.get("fixed_params", {}) | trial.params
        study.enqueue_trial(values, user_attrs=trial.user_attrs | {CONTINUES: trial.number})
    _close_strangers(study, config)
    return study


def _close_strangers(study: optuna.Study, config: Config) -> None:
    """Close what waits with values that no trial can have: others enqueued it."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    fixed = [trial.system_attrs.get("fixed_params", {}) for trial in waiting]
    if all(are_within(config, values) for values in fixed):
        return
    # They can be closed in their order alone; those of ours are enqueued again.
    for values in fixed:
        trial = study.ask()
        study.tell(trial, state=TrialState.FAIL)
        if are_within(config, values):
            study.enqueue_trial(values, user_attrs=trial.user_attrs)


def search(
    study: optuna.Study,
    config: Config,
    trials: int,
    evaluate: Evaluate,
    on_trial: Callable[[FrozenTrial], None],
    believe: Believe = _all,
) -> None:
    """Try until ``trials``, the study's total, are done; ``on_trial`` gets each one that is.

    Any error but a loss that exploded ends the search; the trial goes on with the next one's
    :func:`open_search`.
    """
    while len(done_trials(study, believe)) < trials:
        trial = study.ask()
        _replay(study, trial)
        suggest(trial, config)
        try:
            value = evaluate(trial, configured(config, trial.params))
        except PrunedError:
            ended = study.tell(trial, state=TrialState.PRUNED)
        except DivergedError as error:
            trial.set_user_attr(DIVERGED, str(error))
            ended = study.tell(trial, state=TrialState.FAIL)
        else:
            ended = study.tell(trial, value)
        on_trial(ended)


def done_trials(study: optuna.Study, believe: Believe = _all) -> list[FrozenTrial]:
    """Trials that need not be tried again: finished, pruned, or with a loss that exploded."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state == TrialState.PRUNED
        or DIVERGED in trial.user_attrs
        or (trial.state == TrialState.COMPLETE and believe(trial))
    ]


def best_trials(study: optuna.Study, count: int, believe: Believe = _all) -> list[FrozenTrial]:
    """The finished trials of the lowest log loss."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(filter(believe, finished), key=lambda trial: trial.value or 0.0)[:count]


def importance(study: optuna.Study, believe: Believe = _all) -> dict[str, float]:
    """Each setting's share in how much the log loss varies; empty while that cannot be told.

    fANOVA (Hutter et al., ICML 2014), of the settings that every finished trial has.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    believed = optuna.create_study()
    believed.add_trials(filter(believe, finished))
    if len(believed.trials) < _ENOUGH_TRIALS:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(believed, evaluator=evaluator)


def _replay(study: optuna.Study, trial: optuna.Trial) -> None:
    """What the trial that it continues has reported, which its training will not report again."""
    number = trial.user_attrs.get(CONTINUES)
    if isinstance(number, int) and 0 <= number < trial.number:
        for step, value in study.trials[number].intermediate_values.items():
            trial.report(value, step)


def _reported(trial: optuna.Trial) -> dict[int, float]:
    return trial.study.trials[trial.number].intermediate_values

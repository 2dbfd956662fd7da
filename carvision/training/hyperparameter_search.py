"""A hyperparameter search with Optuna: each trial is a training, and poor ones are pruned.

The study holds the whole state of a search, so that an interrupted search can go on. The trial that
was interrupted is tried again with the same values: its training goes on from its own checkpoint.
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

#: Attributes of a trial: the number of the trial that it continues; the message of its divergence.
CONTINUES: Final = "continues"
DIVERGED: Final = "diverged"

#: Random trials before the sampler learns; Optuna's 10 would be half of the usual search.
_STARTUP_TRIALS = 5
#: From fewer finished trials, importance is noise.
_ENOUGH_TRIALS = 10

#: Trains with a configuration, with a :class:`TrialReporter` as tracker; returns the log loss.
Evaluate = Callable[[optuna.Trial, Config], float]
#: Whether a finished trial's value can be trusted: others may write to the study.
Believe = Callable[[FrozenTrial], bool]


def _all(trial: FrozenTrial) -> bool:
    """Trust every trial, in a study that nobody else writes to."""
    return True


class TrialReporter(Tracker):
    """Reports the epochs of one fold to a trial, and prunes the trial.

    The trial's steps count the epochs of all its ``folds``. Its value at a step is the mean log
    loss over the folds begun, of which ``before`` holds the best losses of the finished ones.
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
        # After an interruption an epoch may be trained again; Optuna takes one report of a step.
        if step not in _reported(self._trial):
            value = float(np.mean([*self._before, metrics["val/log_loss"]]))
            self._trial.report(value, step)
        if step < self._last_step and self._trial.should_prune():
            raise PrunedError(f"trial {self._trial.number} is stopped after epoch {epoch}")


def open_search(name: str, storage: str, config: Config) -> optuna.Study:
    """Open a study, or create it with the configuration itself as its first trial.

    No trial is pruned in its first third of the epochs, while the learning rate is still high.

    Raises:
        ConfigError: the study of this name belongs to another search.
    """
    study = open_study(name, storage, config.seed, startup_trials=_STARTUP_TRIALS)
    refuse_other_choices(study, distributions(config), storage)
    study.pruner = MedianPruner(n_warmup_steps=ceil(config.train.epochs / 3))
    if not study.trials:
        study.enqueue_trial(starting_values(config))
    for trial in close_interrupted(study):
        if DIVERGED in trial.user_attrs:
            continue
        # A trial that was interrupted before it drew values may have been enqueued with some.
        values = trial.system_attrs.get("fixed_params", {}) | trial.params
        study.enqueue_trial(values, user_attrs=trial.user_attrs | {CONTINUES: trial.number})
    _close_strangers(study, config)
    return study


def _close_strangers(study: optuna.Study, config: Config) -> None:
    """Close waiting trials with values outside the space, which somebody else enqueued."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    fixed = [trial.system_attrs.get("fixed_params", {}) for trial in waiting]
    if all(are_within(config, values) for values in fixed):
        return
    # Optuna hands them out in order only, so ours are closed, too, and enqueued again.
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
    """Run trials until the study has ``trials`` done; ``on_trial`` is called after each.

    A trial whose loss exploded counts as done. Any other error ends the search, and the next
    search of this study goes on with the trial.
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
    """Trials that are not tried again: finished, pruned or diverged."""
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
    """Each setting's share in the variance of the log loss; empty after too few trials.

    fANOVA (Hutter et al., ICML 2014), over the settings that every finished trial has.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    believed = optuna.create_study()
    believed.add_trials(filter(believe, finished))
    if len(believed.trials) < _ENOUGH_TRIALS:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(believed, evaluator=evaluator)


def _replay(study: optuna.Study, trial: optuna.Trial) -> None:
    """Repeat the reports of the trial that it continues, whose epochs are not trained again."""
    number = trial.user_attrs.get(CONTINUES)
    if isinstance(number, int) and 0 <= number < trial.number:
        for step, value in study.trials[number].intermediate_values.items():
            trial.report(value, step)


def _reported(trial: optuna.Trial) -> dict[int, float]:
    return trial.study.trials[trial.number].intermediate_values

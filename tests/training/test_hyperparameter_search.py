"""The search over made-up trainings: its order, its end, its interruptions."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from carvision.config import Config, load_config
from carvision.errors import ConfigError, DivergedError
from carvision.training.hyperparameter_search import (
    TrialReporter,
    best_trials,
    done_trials,
    importance,
    open_search,
    search,
)

_EPOCHS = 6
CONFIG = load_config(overrides=f"train.epochs={_EPOCHS}")

Evaluate = Callable[[optuna.Trial, Config], float]


class Trainings:
    """Made-up trainings: each epoch is better by a tenth, the configuration itself is the best.

    ``stop`` is raised at (training, epoch); both count from 1.
    """

    def __init__(
        self, stop: tuple[int, int] = (0, 0), error: type[BaseException] = KeyboardInterrupt
    ) -> None:
        self.configs: list[Config] = []
        self.epochs: list[list[int]] = []
        self._stop, self._error = stop, error
        self.checkpoint: dict[str, int] = {}

    def __call__(self, trial: optuna.Trial, config: Config) -> float:
        self.configs.append(config)
        self.epochs.append([])
        final = 1.0 if config == CONFIG else 2.0 + config.augmentation.darken.p
        reporter = TrialReporter(trial, _EPOCHS, 1, [])
        first = self.checkpoint.get(config.model_dump_json(), 0) + 1
        for epoch in range(first, _EPOCHS + 1):
            if (len(self.configs), epoch) == self._stop:
                self.checkpoint[config.model_dump_json()] = epoch - 1
                raise self._error
            self.epochs[-1].append(epoch)
            reporter.epoch_ended(epoch, {"val/log_loss": final + (_EPOCHS - epoch) / 10})
        return final


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def _search(storage: str, trials: int, evaluate: Evaluate) -> optuna.Study:
    study = open_search("study", storage, CONFIG)
    search(study, CONFIG, trials, evaluate, lambda trial: None)
    return study


def test_the_first_trial_is_the_configuration_itself(storage: str) -> None:
    trainings = Trainings()
    study = _search(storage, 4, trainings)
    assert trainings.configs[0] == CONFIG
    assert CONFIG not in trainings.configs[1:]
    first, second = best_trials(study, 2)
    assert (first.number, first.value) == (0, 1.0)
    assert second.value is not None and second.value >= 2


def test_trials_are_a_total(storage: str) -> None:
    assert len(_search(storage, 3, Trainings()).trials) == 3
    again = Trainings()
    assert len(_search(storage, 3, again).trials) == 3
    assert again.configs == []
    assert len(_search(storage, 5, again).trials) == 5
    assert len(again.configs) == 2


def test_a_trial_that_others_outdo_is_stopped_early(storage: str) -> None:
    trainings = Trainings()
    study = _search(storage, 5, trainings)
    assert all(epochs == list(range(1, _EPOCHS + 1)) for epochs in trainings.epochs)

    def hopeless(trial: optuna.Trial, config: Config) -> float:
        reporter = TrialReporter(trial, _EPOCHS, 1, [])
        for epoch in range(1, _EPOCHS + 1):
            last.append(epoch)
            reporter.epoch_ended(epoch, {"val/log_loss": 9.0})
        return 9.0

    last: list[int] = []
    study = _search(storage, 6, hopeless)
    # Not in the first third of the epochs.
    assert last == [1, 2]
    assert study.trials[5].state == TrialState.PRUNED
    assert study.trials[5].intermediate_values == {1: 9.0, 2: 9.0}
    assert len(done_trials(study)) == 6


def test_folds_follow_each_other_in_one_trial(storage: str) -> None:
    def two_folds(trial: optuna.Trial, config: Config) -> float:
        before: list[float] = []
        for loss in (1.0, 2.0):
            reporter = TrialReporter(trial, 2, 2, before)
            for epoch in (1, 2):
                reporter.epoch_ended(epoch, {"val/log_loss": loss + 1 - epoch / 2})
            before.append(loss)
        return 1.5

    study = _search(storage, 1, two_folds)
    assert study.trials[0].intermediate_values == {1: 1.5, 2: 1.0, 3: 1.75, 4: 1.5}


def test_an_exploded_loss_is_a_trial_that_failed(storage: str) -> None:
    ended: list[FrozenTrial] = []
    study = open_search("study", storage, CONFIG)
    trainings = Trainings((2, 3), DivergedError)
    search(study, CONFIG, 4, trainings, ended.append)
    assert [trial.state.name for trial in ended] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    # It is not tried again.
    again = Trainings()
    _search(storage, 4, again)
    assert again.configs == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ConfigError])
@pytest.mark.parametrize("stop", [(1, 1), (1, 4), (3, 2)])
def test_a_trial_that_was_stopped_goes_on(
    storage: str, stop: tuple[int, int], error: type[BaseException]
) -> None:
    trainings = Trainings(stop, error)
    with pytest.raises(error):
        _search(storage, 4, trainings)
    stopped = trainings.configs[-1]
    study = _search(storage, 4, trainings)
    assert study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING)) == []
    assert len(done_trials(study)) == 4
    # The same values again, from the epoch that was not finished; nothing reported is lost.
    assert trainings.configs[stop[0]] == stopped
    assert trainings.epochs[stop[0]] == list(range(stop[1], _EPOCHS + 1))
    for trial in done_trials(study):
        assert list(trial.intermediate_values) == list(range(1, _EPOCHS + 1))
    assert trainings.configs.count(CONFIG) == (2 if stop[0] == 1 else 1)
    assert len(trainings.configs) == 5


def test_a_trial_killed_before_it_had_its_values(storage: str) -> None:
    open_search("study", storage, CONFIG).ask()
    trainings = Trainings()
    _search(storage, 1, trainings)
    assert trainings.configs == [CONFIG]


def test_an_epoch_that_is_trained_again_is_told_once(
    storage: str, recwarn: pytest.WarningsRecorder
) -> None:
    def twice(trial: optuna.Trial, config: Config) -> float:
        for values in ((3.0, 2.0), (2.5, 1.0)):
            reporter = TrialReporter(trial, _EPOCHS, 1, [])
            for epoch, value in enumerate(values, start=2 if values[0] == 2.5 else 1):
                reporter.epoch_ended(epoch, {"val/log_loss": value})
        return 1.0

    study = _search(storage, 1, twice)
    assert study.trials[0].intermediate_values == {1: 3.0, 2: 2.0, 3: 1.0}
    assert not [warning for warning in recwarn if "already reported" in str(warning.message)]


def test_importance_finds_what_matters(storage: str) -> None:
    def darkness(trial: optuna.Trial, config: Config) -> float:
        return 10 * config.augmentation.darken.p

    assert importance(_search(storage, 9, darkness)) == {}
    shares = importance(_search(storage, 25, darkness))
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda name: shares[name]) == "augmentation.darken.p"


def test_nothing_is_pruned_in_the_last_epoch(storage: str) -> None:
    """A training that is over is a result."""
    _search(storage, 5, Trainings())

    def at_last(trial: optuna.Trial, config: Config) -> float:
        reporter = TrialReporter(trial, _EPOCHS, 1, [])
        reporter.epoch_ended(_EPOCHS, {"val/log_loss": 9.0})
        return 9.0

    assert _search(storage, 6, at_last).trials[5].state == TrialState.COMPLETE


def test_a_trial_that_is_not_believed_is_tried_again(storage: str) -> None:
    study = _search(storage, 3, Trainings())
    first = study.trials[0]
    study.add_trial(
        optuna.trial.create_trial(params=first.params, distributions=first.distributions, value=-5)
    )

    def believe(trial: FrozenTrial) -> bool:
        return trial.value != -5

    again = Trainings()
    study = open_search("study", storage, CONFIG)
    search(study, CONFIG, 4, again, lambda trial: None, believe)
    assert len(again.configs) == 1
    assert len(done_trials(study, believe)) == 4 < len(done_trials(study))
    assert best_trials(study, 1, believe)[0].value == 1.0


@pytest.mark.parametrize(
    "values", [{"optimizer.lr": 1e9}, {"loss.name": "evil"}, {"stranger": 1.0}, {"loss.t1": "x"}]
)
def test_what_others_enqueued_is_not_tried(values: dict[str, object], storage: str) -> None:
    study = optuna.create_study(study_name="study", storage=storage)
    study.enqueue_trial(values)
    study.enqueue_trial({"optimizer.lr": CONFIG.optimizer.lr}, user_attrs={"a": 1})
    study = open_search("study", storage, CONFIG)
    waiting = study.get_trials(states=(TrialState.WAITING,))
    assert [trial.user_attrs for trial in waiting] == [{"a": 1}]
    assert len(_search(storage, 1, Trainings()).get_trials(states=(TrialState.COMPLETE,))) == 1


def test_a_search_of_other_choices_is_refused(storage: str) -> None:
    study = optuna.create_study(study_name="study", storage=storage)
    kinds = {"loss.name": optuna.distributions.CategoricalDistribution(["evil"])}
    study.add_trial(
        optuna.trial.create_trial(params={"loss.name": "evil"}, distributions=kinds, value=-5)
    )
    with pytest.raises(ConfigError, match=r"trial 0 whose 'loss\.name' .* delete-study"):
        open_search("study", storage, CONFIG)


@pytest.mark.parametrize("number", ["x", -1, 99, None, [0]])
def test_a_continuation_of_no_trial_begins_anew(number: object, storage: str) -> None:
    study = optuna.create_study(study_name="study", storage=storage)
    study.enqueue_trial({}, user_attrs={"continues": number})
    trainings = Trainings()
    _search(storage, 1, trainings)
    assert trainings.epochs == [list(range(1, _EPOCHS + 1))]

"""A search's trials count where their runs say the same."""

from types import SimpleNamespace

import optuna
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from optuna.trial import FrozenTrial

from carvision.config import load_config
from carvision.pipelines.hpo import believed_trials
from carvision.pipelines.hpo.believed_trials import BelievedTrials, run_named_by
from carvision.training.hyperparameter_space import configured, distributions, starting_values
from tests.hostile_names import HOSTILE

RUN = "a" * 32
CONFIG = load_config()
VALUES = starting_values(CONFIG)


def _trial(value: float = 0.5, run_id: object = RUN, **params: object) -> FrozenTrial:
    given = VALUES | params
    kinds = {
        name: distributions(CONFIG).get(name, optuna.distributions.FloatDistribution(0, 9))
        for name in given
    }
    # Values out of their ranges cannot be made by Optuna's own means, but in its file.
    trial = optuna.trial.create_trial(
        params=VALUES,
        distributions={name: distributions(CONFIG)[name] for name in VALUES},
        value=value,
        user_attrs={} if run_id is None else {"run_id": run_id},
    )
    trial.number, trial.params, trial.distributions = 0, given, kinds
    return trial


def _store(
    monkeypatch: pytest.MonkeyPatch,
    loss: float = 0.5,
    study: str = "s",
    settings: dict[str, str] | None = None,
) -> None:
    own = configured(CONFIG, VALUES).model_dump(mode="json")
    params = {"config.optimizer.lr": str(own["optimizer"]["lr"])} | (settings or {})
    data = SimpleNamespace(
        tags={"carvision.study": study}, metrics={"best/val_log_loss": loss}, params=params
    )

    def get_run(run_id: str) -> SimpleNamespace:
        if run_id != RUN:
            raise MlflowException("no such run", RESOURCE_DOES_NOT_EXIST)
        return SimpleNamespace(data=data)

    monkeypatch.setattr(believed_trials, "client", lambda: SimpleNamespace(get_run=get_run))


def test_a_trial_whose_run_says_the_same_counts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _store(monkeypatch)
    assert BelievedTrials("s", CONFIG)(_trial())
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("trial", "store", "reason"),
    [
        ({"value": -5.0}, {}, "it says -5.0, and its run"),
        ({"value": float("-inf")}, {}, "it says -inf"),
        ({"value": 0.4999}, {}, "it says 0.4999"),
        ({}, {"loss": float("nan")}, "it says 0.5"),
        ({"run_id": None}, {}, "it names no run"),
        ({"run_id": 7}, {}, "it names no run"),
        ({"run_id": "../../x"}, {}, "it names no run"),
        ({"run_id": "b" * 32}, {}, "this tracking store has no run"),
        ({}, {"study": "other"}, "is of another study"),
        ({"optimizer.lr": VALUES["optimizer.lr"] * 2}, {}, "another optimizer.lr"),
        ({}, {"settings": {"config.train.epochs": "99"}}, "another train.epochs"),
        ({"optimizer.lr": 1e9}, {}, "its settings are not of this search"),
        ({"stranger": 1.0}, {}, "its settings are not of this search"),
        ({"loss.name": "evil"}, {}, "its settings are not of this search"),
    ],
)
def test_a_trial_without_its_result_does_not_count(
    trial: dict[str, object],
    store: dict[str, object],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _store(monkeypatch, **store)  # type: ignore[arg-type]
    believe = BelievedTrials("s", CONFIG)
    forged = _trial(**trial)  # type: ignore[arg-type]
    assert not believe(forged)
    assert not believe(forged)
    (line,) = caplog.messages
    assert line.startswith("trial 0 of the study s does not count: ") and reason in line


def test_a_setting_that_is_hidden_as_a_secret_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    name = CONFIG.loss.name
    assert len(name) > 5
    _store(monkeypatch, settings={"config.loss.name": "***"})
    assert not BelievedTrials("s", CONFIG)(_trial())
    monkeypatch.setenv("HF_TOKEN", name)
    assert BelievedTrials("s", CONFIG)(_trial())


def test_a_store_that_cannot_be_asked_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_run(run_id: str) -> None:
        raise MlflowException("the server is away")

    monkeypatch.setattr(believed_trials, "client", lambda: SimpleNamespace(get_run=get_run))
    with pytest.raises(MlflowException, match="away"):
        BelievedTrials("s", CONFIG)(_trial())


@pytest.mark.parametrize("value", [*HOSTILE, 7, None, [RUN], RUN.upper()])
def test_what_is_no_run_is_not_asked_for(value: object) -> None:
    assert run_named_by({"run_id": value}) == ""

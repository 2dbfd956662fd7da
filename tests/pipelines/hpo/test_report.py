"""What a search says of its trials while it runs."""

import logging
from pathlib import Path

import mlflow
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from carvision.pipelines.hpo.report import announce_study, trial_report
from carvision.store.client import client
from carvision.training.hyperparameter_search import CONTINUES

_X = {"x": optuna.distributions.FloatDistribution(0, 1)}


def _study(*values: float) -> optuna.Study:
    study = optuna.create_study(study_name="s")
    for value in values:
        study.add_trial(create_trial(params={"x": 0.5}, distributions=_X, value=value))
    return study


def _announced(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Lines of carvision, not of Optuna."""
    return [record.message for record in caplog.records if record.name.startswith("carvision")]


def test_a_trial_that_is_not_believed_is_not_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "carvision")
    study = _study()
    report = trial_report(study, 3, lambda trial: False)
    study.add_trial(create_trial(value=0.5))
    report(study.trials[0])
    assert "trial 0: log loss 0.5000; 0 of 3 done" in caplog.text


def test_a_line_names_the_trial_the_best_and_what_is_left(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "carvision")
    study = _study(0.5)
    report = trial_report(study, 3, lambda trial: True)
    for state, value in ((TrialState.PRUNED, 0.75), (TrialState.COMPLETE, 0.25)):
        study.add_trial(create_trial(state=state, value=value))
    with mlflow.start_run() as run:
        report(study.trials[1])
        report(study.trials[2])
    stopped, best = _announced(caplog)
    assert "trial 1: stopped at log loss 0.7500, which is worse than most" in stopped
    assert best == "trial 2: log loss 0.2500; the best is 0.2500, trial 2; 3 of 3 done"
    points = client().get_metric_history(run.info.run_id, "best/val_log_loss")
    assert {(point.step, point.value) for point in points} == {(3, 0.25)}


def test_a_search_that_goes_on_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "carvision")
    study = _study(0.5, 0.25)
    study.enqueue_trial({"x": 0.1}, user_attrs={CONTINUES: 1})
    announce_study(study, 3, lambda trial: True)
    done, goes_on = _announced(caplog)
    assert done.endswith("2 of 3 trials are done, the best log loss is 0.2500")
    assert goes_on == "trial 1 was stopped; trial 2 goes on from its checkpoint"

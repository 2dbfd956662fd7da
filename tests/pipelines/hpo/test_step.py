"""The search over hyperparameters, on real trainings of tiny photos."""

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import optuna
import pytest
import yaml
from mlflow.entities import Run
from optuna.trial import TrialState

from carvision.config import Config, load_config
from carvision.contracts import Tracker
from carvision.errors import CarvisionError, ConfigError, DivergedError
from carvision.pipelines.hpo.step import hpo, study_name
from carvision.pipelines.train import fold_run
from carvision.pipelines.train.step import train
from carvision.store.client import client
from carvision.store.runs import find_runs
from carvision.tracking.progress_bar import TrainingProgress
from carvision.workspace import STUDY_STORAGE
from tests.jobs import job_of

_SETTINGS = (
    "data.folds=2 data.cache=off model.image_size=32 train.epochs=2 train.batch_size=8 "
    "precision=fp32 loader.workers=0"
)


def _config(seed: int) -> Config:
    return load_config(overrides=_SETTINGS, device="cpu", seed=str(seed))


def _hpo(root: Path, seed: int, trials: int, fold: str = "1") -> Path:
    """A search of its own for each seed."""
    return hpo(_config(seed), str(root), fold=fold, trials=trials, output=Path(f"{seed}.yaml"))


def _study(seed: int) -> optuna.Study:
    tags = _search_runs(seed)[0].data.tags
    return optuna.load_study(study_name=tags["carvision.study"], storage=STUDY_STORAGE)


def _search_runs(seed: int) -> list[Run]:
    """The newest first, whatever became of them."""
    return mlflow.search_runs(
        filter_string=f"tags.`carvision.stage` = 'hpo' and params.`config.seed` = '{seed}'",
        order_by=["attributes.start_time DESC"],
        output_format="list",
    )


def _children(parent: Run) -> list[Run]:
    return mlflow.search_runs(
        filter_string=f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'",
        order_by=["attributes.start_time ASC"],
        output_format="list",
    )


def _trial_runs(search: Run) -> list[Run]:
    return [run for run in _children(search) if run.data.tags["carvision.stage"] == "hpo-trial"]


def _epochs(run: Run) -> list[int]:
    return [point.step for point in client().get_metric_history(run.info.run_id, "val/log_loss")]


@pytest.fixture(scope="module")
def found(store: Path, photos: Path) -> Path:
    """The YAML of three trials with seed 1."""
    return _hpo(photos, 1, 3)


def test_the_first_trial_is_the_configuration_as_it_stands(found: Path) -> None:
    search = _search_runs(1)[0]
    first, *others = _trial_runs(search)
    own = {key: value for key, value in search.data.params.items() if key.startswith("config.")}
    assert {key: first.data.params[key] for key in own} == own
    for other in others:
        assert other.data.params["config.optimizer.lr"] != own["config.optimizer.lr"]
    values = [trial.value for trial in _study(1).trials]
    assert _study(1).best_value == min(values) <= values[0]


def test_every_trial_is_a_child_run_with_its_epochs(found: Path) -> None:
    search = _search_runs(1)[0]
    trials = _trial_runs(search)
    assert [run.info.run_name for run in trials] == ["trial 0", "trial 1", "trial 2"]
    for run, trial in zip(trials, _study(1).trials, strict=True):
        assert run.info.status == "FINISHED"
        assert run.data.metrics["best/val_log_loss"] == trial.value
        assert _epochs(run) == [1, 2]
        (fold,) = _children(run)
        assert (fold.info.status, fold.data.tags["carvision.fold"]) == ("FINISHED", "1")
        assert {"train/loss", "val/accuracy", "lr"} <= set(fold.data.metrics)
        assert client().list_artifacts(fold.info.run_id, "checkpoint") == []
    names = {artifact.path for artifact in client().list_artifacts(search.info.run_id)}
    assert {"1.yaml", "trials.csv", "config.yaml"} <= names
    assert search.data.metrics["best/val_log_loss"] == _study(1).best_value


def test_trials_are_no_folds_of_train(found: Path) -> None:
    assert find_runs("fold", {}) == []
    assert client().search_registered_models() == []
    assert not list(Path("work/folds").glob("*"))


def test_train_takes_the_file_and_gets_the_same_log_loss(found: Path, photos: Path) -> None:
    text = found.read_text(encoding="utf-8")
    best = _study(1).best_trial
    assert f"log loss {best.value:.4f}" in text and f"number {best.number} of study" in text
    config = load_config(config=str(found), device="cpu", overrides="loader.workers=0")
    train([config], "latest", "1", "auto")
    (fold,) = find_runs("fold", {})
    assert fold.data.metrics["best/val_log_loss"] == best.value


def test_the_file_holds_the_differences_alone(found: Path) -> None:
    settings = yaml.safe_load(found.read_text(encoding="utf-8"))
    assert settings["recipe"] == "finetune"
    assert settings["seed"] == 1
    assert "device" not in settings and "loader" not in settings
    assert settings["train"].keys() <= {"epochs", "batch_size", "ema_decay"}


def test_trials_are_the_total(found: Path, photos: Path) -> None:
    text = found.read_text(encoding="utf-8")
    _hpo(photos, 1, 3)
    assert len(_study(1).trials) == 3
    assert _trial_runs(_search_runs(1)[0]) == []
    assert found.read_text(encoding="utf-8") == text
    _hpo(photos, 1, 4)
    assert len(_study(1).trials) == 4
    assert len(_trial_runs(_search_runs(1)[0])) == 1


def test_a_pruned_trial_ends_early(
    store: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number == 1)
    _hpo(photos, 2, 3)
    states = [trial.state.name for trial in _study(2).trials]
    assert states == ["COMPLETE", "PRUNED", "COMPLETE"]
    search = _search_runs(2)[0]
    assert search.info.status == "FINISHED"
    pruned = _trial_runs(search)[1]
    (fold,) = _children(pruned)
    assert (pruned.info.status, fold.info.status) == ("KILLED", "KILLED")
    assert pruned.data.tags["carvision.pruned"] == "true"
    assert _epochs(pruned) == _epochs(fold) == [1]
    assert not list(Path("work/folds").glob("*"))


def test_an_exploded_loss_does_not_end_the_search(
    store: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _explode(monkeypatch, trials={0, 2})
    _hpo(photos, 3, 3)
    assert [trial.state.name for trial in _study(3).trials] == ["FAIL", "COMPLETE", "FAIL"]
    search = _search_runs(3)[0]
    statuses = [run.info.status for run in _trial_runs(search)]
    assert (search.info.status, statuses) == ("FINISHED", ["FAILED", "FINISHED", "FAILED"])
    assert "as configured –" in Path("3.yaml").read_text(encoding="utf-8")
    assert not list(Path("work/folds").glob("*"))


def test_a_search_without_a_result(
    store: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _explode(monkeypatch, trials={0, 1})
    with pytest.raises(CarvisionError, match="the loss of every trial exploded; try a smaller"):
        _hpo(photos, 4, 2)
    assert not Path("4.yaml").exists()
    assert _search_runs(4)[0].info.status == "FAILED"


def _explode(monkeypatch: pytest.MonkeyPatch, trials: set[int]) -> None:
    """Trainings in their order, one a trial."""
    real, begun = fold_run.train_fold, []

    def train_fold(*arguments: object, **named: object) -> object:
        begun.append(1)
        if len(begun) - 1 in trials:
            raise DivergedError("the loss became inf")
        return real(*arguments, **named)

    monkeypatch.setattr(fold_run, "train_fold", train_fold)


def test_ctrl_c_in_a_trial_of_two_folds(
    store: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the second trial's second fold: the first one is kept, the second one goes on."""
    ended: list[int] = []

    def interrupted(self: Tracker, epoch: int, metrics: object) -> None:
        ended.append(epoch)
        # Four epochs of the first trial, two of the second one's first fold.
        if len(ended) == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "epoch_ended", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _hpo(photos, 5, 3, fold="all")
    (stopped,) = _search_runs(5)
    assert [run.info.status for run in (stopped, *_trial_runs(stopped))] == [
        "KILLED",
        "FINISHED",
        "KILLED",
    ]
    begun = _trial_runs(stopped)[1]
    caplog.clear()
    with caplog.at_level(logging.INFO, "carvision"):
        _hpo(photos, 5, 3, fold="all")
    assert "1 of 3 trials are done, the best log loss is" in caplog.text
    assert "trial 1 was stopped; trial 2 goes on from its checkpoint" in caplog.text
    study = _study(5)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[2].params == study.trials[1].params
    # In the same runs, each epoch once.
    again = client().get_run(begun.info.run_id)
    assert again.info.status == "FINISHED"
    assert _epochs(again) == [1, 2, 3, 4]
    folds = _children(again)
    assert [fold.info.status for fold in folds] == ["FINISHED", "FINISHED"]
    assert [_epochs(fold) for fold in folds] == [[1, 2], [1, 2]]
    losses = [fold.data.metrics["best/val_log_loss"] for fold in folds]
    assert study.trials[2].value == pytest.approx(sum(losses) / 2)


_KILLED = """
import os, signal, sys
from pathlib import Path
from carvision.tracking.progress_bar import TrainingProgress
from tests.pipelines.hpo.test_step import _hpo

ended = []

def epoch_ended(self, epoch, metrics):
    ended.append(epoch)
    if len(ended) == 4:
        os.kill(os.getpid(), signal.SIGKILL)

TrainingProgress.epoch_ended = epoch_ended
_hpo(Path(sys.argv[1]), 6, 3)
"""


def test_a_killed_search_goes_on(store: Path, photos: Path) -> None:
    """SIGKILL in the second trial's second epoch."""
    environment = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{store}/mlflow.db",
        "MLFLOW_EXPERIMENT_NAME": "tests",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(photos)],
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    (search,) = _search_runs(6)
    assert search.info.status == "RUNNING"
    assert len(_study(6).get_trials(states=(TrialState.RUNNING,))) == 1
    _hpo(photos, 6, 3)
    running = mlflow.search_runs(
        filter_string="attributes.status = 'RUNNING'", output_format="list"
    )
    assert running == []
    states = [trial.state.name for trial in _study(6).trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    gone_on, last = _trial_runs(_search_runs(6)[0])
    assert [_epochs(run) for run in (gone_on, last)] == [[1, 2], [1, 2]]
    assert gone_on.info.run_id == _study(6).trials[1].user_attrs["run_id"]
    assert not list(Path("work/folds").glob("*"))


@pytest.mark.parametrize(
    ("folds", "cache_side", "name"),
    [([1], None, "249ed33b59bad25d"), ([1, 2], 256, "73c6fe7f44497416")],
)
def test_studies_of_earlier_versions_are_found_again(
    folds: list[int], cache_side: int | None, name: str
) -> None:
    first = job_of(fingerprint="0123456789abcdef", cache_side=cache_side)
    jobs = [first.of_fold(fold) for fold in folds]
    assert study_name(jobs) == f"hpo-efficientnet_lite0-{name}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials: expected at least 1, got 0"),
        ({"output": Path()}, "output=. is a folder"),
        ({"fold": "9"}, "this data has the folds 1 to 2"),
    ],
)
def test_refused_before_any_training(
    arguments: dict[str, object], message: str, store: Path, photos: Path
) -> None:
    given = {"fold": "1", "trials": 1, "output": Path("refused.yaml")} | arguments
    with pytest.raises(ConfigError, match=re.escape(message)):
        hpo(_config(7), str(photos), **given)
    assert not any(_trial_runs(run) for run in _search_runs(7))

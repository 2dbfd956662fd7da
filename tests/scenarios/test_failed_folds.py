"""A fold that fails costs itself alone: the others are trained, and registered without it."""

import logging
from pathlib import Path

import mlflow
import pytest

from carvision.config import load_config
from carvision.errors import CarvisionError, DataError, DivergedError, IncompleteError
from carvision.pipelines.train import fold_run
from carvision.pipelines.train.step import train
from carvision.store.client import client
from carvision.store.member_versions import MemberVersion
from tests.conftest import write_photos

_QUICK = "data.folds=3 model.image_size=32 train.max_steps=1 precision=fp32"
_MODELS = ("efficientnet_lite0", "efficientnet_lite1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, int], BaseException]:
    """What the training of a backbone's fold raises."""
    errors: dict[tuple[str, int], BaseException] = {}
    train_fold = fold_run.train_fold

    def failing(job, *others):
        if (job.config.name, job.fold) in errors:
            raise errors[job.config.name, job.fold]
        return train_fold(job, *others)

    monkeypatch.setattr(fold_run, "train_fold", failing)
    return errors


def _train(root: Path, models: tuple[str, ...], seed: int) -> list[MemberVersion]:
    configs = [
        load_config(name, overrides=f"{_QUICK} seed={seed}", device="cpu") for name in models
    ]
    return train(configs, str(root), "all", "auto")


def _statuses() -> dict[str, str]:
    """The newest run's status, by the run's name."""
    runs = mlflow.search_runs(output_format="list", order_by=["attributes.start_time"])
    return {run.info.run_name: run.info.status for run in runs}


def test_the_other_folds_and_backbones_are_trained(
    store: Path,
    root: Path,
    fails: dict[tuple[str, int], BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = _MODELS
    fails[first, 2] = DivergedError("the loss exploded")
    fails[second, 1] = DataError("a process that loads photos died")
    with caplog.at_level(logging.INFO, "carvision"), pytest.raises(IncompleteError) as caught:
        _train(root, _MODELS, 1)
    message = str(caught.value)
    assert f"{first} fold 2 failed: the loss exploded" in message
    assert f"{second} fold 1 failed: a process that loads photos died" in message
    assert "this goes on with what failed: python " in message
    # Said at once, too.
    assert f"{first} fold 2 failed: the loss exploded" in caplog.messages
    statuses = _statuses()
    folds = [statuses[f"{first} fold {fold}"] for fold in (1, 2, 3)]
    assert folds == ["FINISHED", "FAILED", "FINISHED"]
    assert statuses[f"{second} fold 1"] == "FAILED"
    assert statuses[f"train {first}"] == statuses[f"train {','.join(_MODELS)}"] == "FAILED"
    fails.clear()
    for name in _MODELS:
        (entry,) = client().search_model_versions(f"name = 'carvision-{name}'")
        assert entry.tags["folds"] == "2/3"
    versions = _train(root, _MODELS, 1)
    assert [version.folds for version in versions] == [(1, 2, 3)] * 2


def test_nothing_is_registered_of_nothing(
    store: Path, root: Path, fails: dict[tuple[str, int], BaseException]
) -> None:
    for fold in (1, 2, 3):
        fails[_MODELS[0], fold] = CarvisionError("not even 2 images fit")
    with pytest.raises(IncompleteError) as caught:
        _train(root, _MODELS[:1], 2)
    assert str(caught.value).count("not even 2 images fit") == 3
    assert "registered" not in str(caught.value)


def test_ctrl_c_stops_everything(
    store: Path, root: Path, fails: dict[tuple[str, int], BaseException]
) -> None:
    fails[_MODELS[0], 1] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        _train(root, _MODELS, 3)
    statuses = _statuses()
    assert statuses[f"{_MODELS[0]} fold 1"] == statuses[f"train {_MODELS[0]}"] == "KILLED"

"""Training while the tracking server is away: nothing stops, nothing is lost, nothing twice."""

import logging
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from carvision.config import load_config
from carvision.errors import TrackingError
from carvision.pipelines.sync import sync
from carvision.pipelines.train import description, fold_run
from carvision.pipelines.train.description import log_description
from carvision.pipelines.train.fold_set import FoldSet
from carvision.pipelines.train.step import train
from carvision.store.member_versions import MemberVersion
from carvision.store.open_runs import tracked_run_if_reachable
from carvision.store.runs import find_runs
from carvision.tracking.event_log import read_events, run_named_in
from carvision.tracking.outbox import delivery
from carvision.tracking.outbox.events import pending
from carvision.tracking.progress_bar import TrainingProgress
from tests.conftest import write_photos
from tests.jobs import job_of
from tests.tracking_server import Server, points, wait_until

_SETTINGS = "data.folds=2 model.image_size=32 train.epochs=2 device=cpu precision=fp32"
_FOLDS = Path("work/folds")


@pytest.mark.parametrize("error", [requests.HTTPError("503"), MlflowException("no room")])
def test_a_server_that_refuses_what_describes_a_run(
    error: Exception,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its store of artifacts fails in its own ways; training hangs on none of them."""
    caplog.set_level(logging.INFO, "carvision")

    def refuse(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(description, "log_settings", refuse)
    monkeypatch.setattr(description, "require_server", lambda: None)
    monkeypatch.setattr(mlflow, "set_tags", lambda tags: None)
    log_description(FoldSet((job_of(),), {}, anew=False))
    assert f"the run lacks its settings, and training goes on: {error}" in caplog.text
    monkeypatch.setattr(mlflow, "start_run", refuse)
    with tracked_run_if_reachable("fold", "fold 1") as run:
        assert run is None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The folds that were really trained, in order."""
    folds = []
    train_fold = fold_run.train_fold

    def counted(job, *others):
        folds.append(job.fold)
        return train_fold(job, *others)

    monkeypatch.setattr(fold_run, "train_fold", counted)
    monkeypatch.setattr(delivery, "PAUSES", (0.01,))
    return folds


def _train(root: Path, seed: int, models: str = "efficientnet_lite0") -> list[MemberVersion]:
    names = models.split(",")
    configs = [load_config(name, overrides=f"{_SETTINGS} seed={seed}") for name in names]
    return train(configs, str(root), "all", "auto")


def _at_first_step(patch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Do ``action`` once, as soon as MLflow knows of all that happened until then."""
    done = []

    def ended(self: TrainingProgress, step: int, loss: float) -> None:
        if not done:
            done.append(step)
            wait_until(lambda: not any(pending(log) for log in _FOLDS.glob("*/*/events.jsonl")))
            action()

    patch.setattr(TrainingProgress, "step_ended", ended)


def _check_folds(client: MlflowClient, version: MemberVersion) -> None:
    """Both folds are there, whole and once."""
    assert version.folds == (1, 2)
    for run_id in version.fold_runs:
        run = client.get_run(run_id)
        assert run.info.status == "FINISHED"
        assert points(client, run_id) == [
            (step, value) for step, (_, value) in enumerate(points(client, run_id), start=1)
        ]
        assert len(points(client, run_id)) == 2
        assert len(points(client, run_id, "best/val_log_loss")) == 1
        assert run.data.tags["mlflow.parentRunId"]
        assert {a.path for a in client.list_artifacts(run_id)} == {
            "checkpoint",
            "events.jsonl",
            "predictions",
        }
    assert not list(_FOLDS.glob("*"))


@pytest.mark.parametrize("seed", [1, 2])
def test_away_from_the_first_fold_on(
    server: tuple[Server, MlflowClient],
    root: Path,
    trained: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seed: int,
) -> None:
    """What waits is logged by the next training and, the second time, by sync."""
    remote, client = server
    caplog.set_level(logging.INFO, "carvision")
    with monkeypatch.context() as patch:
        _at_first_step(patch, remote.stop)
        with pytest.raises(TrackingError, match="run the same command again"):
            _train(root, seed)
    assert trained == [1, 2]
    assert "fold1 is finished and cannot be logged yet" in caplog.text
    assert "fold 2 goes on without an MLflow run" in caplog.text
    assert not list(_FOLDS.glob("*/*/*.pt"))
    (log,) = _FOLDS.glob("*/fold1/events.jsonl")
    begun = run_named_in(read_events(log))
    assert client.get_run(begun).info.status == "RUNNING"
    remote.start()
    mlflow.set_tracking_uri(remote.uri)
    if seed == 2:
        assert sync(_FOLDS) == 4
        assert sync(_FOLDS) == 0
    (version,) = _train(root, seed)
    assert trained == [1, 2]
    assert version.fold_runs[0] == begun
    _check_folds(client, version)
    assert mlflow.active_run() is None


def test_away_for_a_while(
    server: tuple[Server, MlflowClient],
    root: Path,
    trained: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Back before the end: the same command registers, and the parent's run is whole."""
    remote, client = server
    write_finished = fold_run.write_finished

    def back_with_the_second(folder: Path, *result: object) -> None:
        write_finished(folder, *result)
        if folder.name == "fold2":
            remote.start()

    with monkeypatch.context() as patch:
        _at_first_step(patch, remote.stop)
        patch.setattr(fold_run, "write_finished", back_with_the_second)
        (version,) = _train(root, 3)
    _check_folds(client, version)
    parent = find_runs("train", {})[0]
    children = [client.get_run(run).data.tags["mlflow.parentRunId"] for run in version.fold_runs]
    assert children == [parent.info.run_id] * 2


def test_the_next_backbone_is_trained_as_well(
    server: tuple[Server, MlflowClient],
    root: Path,
    trained: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remote, client = server
    models = "efficientnet_lite0,efficientnet_lite1"
    with monkeypatch.context() as patch:
        _at_first_step(patch, remote.stop)
        with pytest.raises(TrackingError, match="not registered yet: efficientnet_lite0, effici"):
            _train(root, 4, models)
    assert trained == [1, 2, 1, 2]
    remote.start()
    for version in _train(root, 4, models):
        _check_folds(client, version)
    assert trained == [1, 2, 1, 2]


def test_away_at_the_start(server: tuple[Server, MlflowClient], root: Path) -> None:
    server[0].stop()
    with pytest.raises(TrackingError, match="cannot be reached"):
        _train(root, 5)


def test_a_result_that_waits_is_not_trained_anew(
    server: tuple[Server, MlflowClient],
    root: Path,
    trained: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever refuses it, and killed wherever."""
    _, client = server

    log_artifacts = MlflowClient.log_artifacts

    def refused(self: MlflowClient, run_id: str, folder: str, *path: str) -> None:
        if folder.endswith("finished/artifacts"):
            raise ValueError("no room in the artifact store")
        log_artifacts(self, run_id, folder, *path)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", refused)
        for _ in range(2):
            with pytest.raises(TrackingError, match="is not logged"):
                _train(root, 6)
    assert trained == [1, 2]
    runs = mlflow.search_runs(output_format="list", filter_string="tags.`carvision.stage`='fold'")
    assert {run.info.status for run in runs[:2]} == {"FAILED"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def killed(path: Path, *arguments: object, **named: object) -> None:
            if Path(path).name == "fold1":
                raise KeyboardInterrupt
            rmtree(path, *arguments, **named)

        rmtree = delivery.shutil.rmtree
        patch.setattr(delivery.shutil, "rmtree", killed)
        _train(root, 6)
    (version,) = _train(root, 6)
    assert trained == [1, 2]
    _check_folds(client, version)

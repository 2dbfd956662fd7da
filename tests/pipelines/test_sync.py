"""What a tracking server missed is sent once it is back; nothing twice."""

import logging
import socket
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from carvision.errors import TrackingError
from carvision.pipelines.sync import sync
from carvision.store.runs import find_runs
from carvision.tracking.event_log import Event, EventLog
from carvision.tracking.outbox import events as sending

_METRICS = {"val/log_loss": 0.5}


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "carvision")


def _new_run() -> str:
    client = MlflowClient()
    experiment = client.get_experiment_by_name("tests").experiment_id
    return str(client.create_run(experiment).info.run_id)


def _log(folder: Path, fold: int, run_id: str, epochs: int) -> EventLog:
    log = EventLog(folder / "set" / f"fold{fold}" / "events.jsonl", run_id)
    for epoch in range(1, epochs + 1):
        log.epoch_ended(epoch, _METRICS)
    return log


def _epochs(run_id: str) -> list[int]:
    return [m.step for m in MlflowClient().get_metric_history(run_id, "val/log_loss")]


def test_every_fold_once(store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    runs = [_new_run(), _new_run()]
    _log(tmp_path, 1, runs[0], 3)
    second = _log(tmp_path, 2, runs[1], 2)
    assert sync(tmp_path) == 5
    assert f"sent epochs 1, 2, 3 to run {runs[0]}" in caplog.text
    assert f"sent epochs 1, 2 to run {runs[1]}" in caplog.text
    caplog.clear()
    assert sync(tmp_path) == 0
    assert caplog.text.count("MLflow has everything") == 2
    second.epoch_ended(3, _METRICS)
    assert sync(tmp_path) == 1
    assert [_epochs(run) for run in runs] == [[1, 2, 3], [1, 2, 3]]
    newest = find_runs("sync", {})[0]
    assert newest.data.metrics == {"epochs_sent": 1}


def test_a_run_that_is_gone_is_skipped(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deleted, kept = _new_run(), _new_run()
    _log(tmp_path, 1, deleted, 2)
    _log(tmp_path, 2, kept, 2)
    MlflowClient().delete_run(deleted)
    assert sync(tmp_path) == 2
    assert f"has no run {deleted}" in caplog.text
    assert _epochs(kept) == [1, 2]


def test_nothing_to_send(store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert sync(tmp_path / "nowhere") == 0
    assert f"no event logs below {tmp_path}/nowhere" in caplog.text


def test_a_server_that_cannot_be_reached(store: Path, tmp_path: Path) -> None:
    _log(tmp_path, 1, _new_run(), 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(address)
        try:
            with pytest.raises(TrackingError, match=rf"{address}.*\n.*MLFLOW_TRACKING_URI"):
                sync(tmp_path)
        finally:
            mlflow.set_tracking_uri(before)
    assert sync(tmp_path) == 1


def test_a_server_that_goes_away_meanwhile(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _new_run()
    _log(tmp_path, 1, run, 3)
    send = sending.send_event

    def fail_at_two(event: Event, run_id: str) -> None:
        if event.payload["epoch"] == 2:
            raise mlflow.exceptions.MlflowException("connection refused")
        send(event, run_id)

    with monkeypatch.context() as patch:
        patch.setattr(sending, "send_event", fail_at_two)
        with pytest.raises(TrackingError, match="connection refused"):
            sync(tmp_path)
    assert sync(tmp_path) == 2
    assert _epochs(run) == [1, 2, 3]

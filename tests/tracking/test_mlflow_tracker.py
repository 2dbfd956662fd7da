"""Training that never waits for its tracking server."""

import logging
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from carvision.contracts import TrackerGroup
from carvision.tracking.event_log import Event, EventLog
from carvision.tracking.mlflow_tracker import MlflowTracker
from carvision.tracking.outbox import events as sending
from carvision.tracking.outbox.events import epochs_of, pending
from tests.tracking_server import METRICS, Server, points, wait_until


def test_epochs_arrive_while_training_goes_on(events: EventLog, run_id: str) -> None:
    with MlflowTracker(events) as tracker:
        group = TrackerGroup([events, tracker])
        group.run_started("fold 1", 200)
        group.epoch_ended(1, METRICS)
        wait_until(lambda: points(MlflowClient(), run_id) == [(1, 2.5)])
        group.epoch_ended(2, METRICS)
        group.warning("it overfits")
    assert not pending(events.path)
    run = MlflowClient().get_run(run_id)
    assert points(MlflowClient(), run_id) == [(1, 2.5), (2, 2.5)]
    assert run.data.tags["carvision.warning"] == "it overfits"


def test_what_an_earlier_process_left_goes_first(events: EventLog, run_id: str) -> None:
    events.epoch_ended(1, METRICS)
    tracker = MlflowTracker(EventLog(events.path, run_id))
    wait_until(lambda: points(MlflowClient(), run_id) == [(1, 2.5)])
    tracker.close()
    assert not pending(events.path)


def test_a_server_that_goes_away_and_comes_back(
    server: tuple[Server, MlflowClient],
    events: EventLog,
    run_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    remote, client = server
    tracker = MlflowTracker(events, pause=0.05)
    group = TrackerGroup([events, tracker])
    group.epoch_ended(1, METRICS)
    # Not while a call is under way: MLflow would try that again for minutes.
    wait_until(lambda: not pending(events.path))
    remote.stop()
    with caplog.at_level(logging.WARNING, "carvision"):
        started = time.perf_counter()
        for epoch in range(2, 6):
            group.epoch_ended(epoch, METRICS)
        # Four epochs were written to the disk, and nobody was waited for.
        assert time.perf_counter() - started < 0.5
        wait_until(lambda: "MLflow cannot be told" in caplog.text)
        time.sleep(0.3)
        assert caplog.text.count("MLflow cannot be told") == 1
        assert points(client, run_id) == [(1, 2.5)]
    remote.start()
    wait_until(lambda: not pending(events.path))
    tracker.close()
    assert points(client, run_id) == [(epoch, 2.5) for epoch in range(1, 6)]


def test_a_server_that_stays_away(
    server: tuple[Server, MlflowClient],
    events: EventLog,
    run_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    remote, client = server
    remote.stop()
    started = time.perf_counter()
    with caplog.at_level(logging.WARNING, "carvision"), MlflowTracker(events) as tracker:
        group = TrackerGroup([events, tracker])
        group.epoch_ended(1, METRICS)
    assert epochs_of(pending(events.path)) == [1]
    # Not the minutes of MLflow's own retries.
    assert time.perf_counter() - started < 2
    assert caplog.text.count("MLflow lacks 1 epochs") == 1
    assert "mlflow run . -e sync" in caplog.text
    assert points(client, run_id) == []


def test_the_end_does_not_wait_for_a_call_that_hangs(
    events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "send_event", lambda event, run_id: time.sleep(2))
    tracker = MlflowTracker(events, close_seconds=0.1)
    started = time.perf_counter()
    tracker.close()
    assert time.perf_counter() - started < 1
    assert pending(events.path)


def test_whatever_fails_is_tried_again(
    events: EventLog, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, failures = sending.send_event, [ValueError("odd"), OSError("odder"), None]

    def fail_at_first(event: Event, run_id: str) -> None:
        failure = failures.pop(0) if failures else None
        if failure is not None:
            raise failure
        send(event, run_id)

    monkeypatch.setattr(sending, "send_event", fail_at_first)
    events.epoch_ended(1, METRICS)
    tracker = MlflowTracker(events, pause=0.01)
    wait_until(lambda: not pending(events.path))
    tracker.close()
    assert points(MlflowClient(), run_id) == [(1, 2.5)]


def test_a_run_that_was_deleted_is_told_of_once(
    tmp_path: Path, events: EventLog, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    MlflowClient().delete_run(run_id)
    with caplog.at_level(logging.WARNING, "carvision"):
        tracker = MlflowTracker(events)
        wait_until(lambda: "has no run" in caplog.text)
        events.epoch_ended(1, METRICS)
        tracker.epoch_ended(1, METRICS)
        tracker.close()
    assert epochs_of(pending(events.path)) == [1]
    assert caplog.text.count(f"has no run {run_id} any more") == 1

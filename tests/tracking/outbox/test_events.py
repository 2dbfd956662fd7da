"""From the log to a run: in order, nothing twice, whatever was sent before."""

import json
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from carvision.errors import GoneError, TrackingError
from carvision.tracking.event_log import Event, EventLog
from carvision.tracking.outbox import events as sending
from carvision.tracking.outbox.events import epochs_of, pending, send_pending
from tests.tracking_server import METRICS, points


def test_epochs_start_and_warning(events: EventLog, run_id: str) -> None:
    events.step_ended(50, 1.0)
    events.epoch_ended(1, METRICS)
    events.warning("it overfits" * 1000)
    assert send_pending(events.path) == [1]
    run = MlflowClient().get_run(run_id)
    assert run.data.metrics == {**METRICS, "planned_steps": 200}
    assert run.data.tags["carvision.warning"].startswith("it overfits")
    assert pending(events.path) == []


def test_nothing_twice(events: EventLog, run_id: str) -> None:
    for epoch in (1, 2):
        events.epoch_ended(epoch, METRICS)
        assert send_pending(events.path) == [epoch]
        assert pending(events.path) == []
        assert send_pending(events.path) == []
    assert points(MlflowClient(), run_id) == [(1, 2.5), (2, 2.5)]


def test_an_epoch_repeated_before_it_was_sent_is_sent_as_it_was_last(
    events: EventLog, run_id: str
) -> None:
    for epoch, loss in [(1, 3.0), (2, 2.0), (1, 3.5), (3, 1.0)]:
        events.epoch_ended(epoch, {"val/log_loss": loss})
    assert send_pending(events.path) == [2, 1, 3]
    assert sorted(points(MlflowClient(), run_id)) == [(1, 3.5), (2, 2.0), (3, 1.0)]


def test_an_epoch_repeated_after_it_was_sent_is_not_sent(events: EventLog, run_id: str) -> None:
    events.epoch_ended(1, METRICS)
    send_pending(events.path)
    again = EventLog(events.path, run_id)
    again.run_started("fold 1", 200)
    again.epoch_ended(1, METRICS)
    again.epoch_ended(2, METRICS)
    assert send_pending(events.path) == [2]
    assert points(MlflowClient(), run_id) == [(1, 2.5), (2, 2.5)]
    assert len(MlflowClient().get_metric_history(run_id, "planned_steps")) == 1


def test_killed_between_the_call_and_its_note(
    events: EventLog, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events.epoch_ended(1, METRICS)

    def killed(path: Path, value: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sending, "write_json", killed)
        send_pending(events.path)
    assert send_pending(events.path) == [1]
    assert points(MlflowClient(), run_id) == [(1, 2.5)]
    assert len(MlflowClient().get_metric_history(run_id, "planned_steps")) == 1


def test_a_failure_keeps_what_was_sent_before(
    events: EventLog, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in (1, 2, 3):
        events.epoch_ended(epoch, METRICS)
    send = sending.send_event

    def fail_at_two(event: Event, run_id: str) -> None:
        if event.payload.get("epoch") == 2:
            raise MlflowException("away")
        send(event, run_id)

    with monkeypatch.context() as patch, pytest.raises(MlflowException, match="away"):
        patch.setattr(sending, "send_event", fail_at_two)
        send_pending(events.path)
    sent = json.loads((events.path.parent / "sent.json").read_text())
    assert sent == {"run_id": run_id, "sequence": 3}
    assert send_pending(events.path) == [2, 3]
    assert points(MlflowClient(), run_id) == [(1, 2.5), (2, 2.5), (3, 2.5)]


@pytest.mark.parametrize("gone", ["deleted", "unknown"])
def test_a_run_that_is_gone(events: EventLog, run_id: str, gone: str) -> None:
    events.epoch_ended(1, METRICS)
    if gone == "deleted":
        MlflowClient().delete_run(run_id)
    else:
        run_id = "0" * 32
        EventLog(events.path, run_id)
    with pytest.raises(GoneError, match=f"has no run {run_id} any more"):
        send_pending(events.path)
    assert epochs_of(pending(events.path)) == [1]


def test_the_run_that_takes_the_place_of_a_deleted_one_gets_all_epochs_once(
    events: EventLog, run_id: str
) -> None:
    client = MlflowClient()
    for epoch in (1, 2):
        events.epoch_ended(epoch, METRICS)
    assert send_pending(events.path) == [1, 2]
    client.delete_run(run_id)
    experiment = client.get_experiment_by_name("tests").experiment_id
    other = str(client.create_run(experiment).info.run_id)
    EventLog(events.path, other).epoch_ended(3, METRICS)
    assert send_pending(events.path) == [1, 2, 3]
    EventLog(events.path, other).epoch_ended(4, METRICS)
    assert send_pending(events.path) == [4]
    assert points(client, other) == [(epoch, 2.5) for epoch in (1, 2, 3, 4)]
    assert len(client.get_metric_history(other, "planned_steps")) == 1
    assert points(client, run_id) == [(1, 2.5), (2, 2.5)]


def test_what_a_store_refuses_is_no_run_that_is_gone(events: EventLog) -> None:
    events.epoch_ended(1, {"a metric; not allowed": 1.0})
    with pytest.raises(MlflowException, match="metric"):
        send_pending(events.path)


def test_one_process_at_a_time(events: EventLog) -> None:
    other = FileLock(events.path.with_name("sending.lock"), is_singleton=False)
    with other, pytest.raises(TrackingError, match="is being sent by another process"):
        send_pending(events.path)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"run_id": 3}', '{"sequence": "x"}', "[" * 100_000]
)
def test_a_damaged_note_sends_all_again(content: str, events: EventLog, run_id: str) -> None:
    events.epoch_ended(1, METRICS)
    send_pending(events.path)
    events.path.with_name("sent.json").write_text(content)
    assert send_pending(events.path) == [1]
    assert points(MlflowClient(), run_id) == [(1, 2.5)]

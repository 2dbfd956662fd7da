"""The event log: whole lines, numbers that go on, and what a kill leaves of it."""

import json
import logging
import math
from pathlib import Path

import pytest

from carvision.contracts import Tracker
from carvision.tracking.event_log import EPOCH, EventLog, read_events, run_named_in


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set" / "fold1" / "events.jsonl"


def _epochs(path: Path) -> dict[int, dict[str, float]]:
    """Metrics by epoch, as they were reported last."""
    events = [event for event in read_events(path) if event.kind == EPOCH]
    return {event.payload["epoch"]: event.metrics for event in events}


def _train(log: Tracker, epochs: int, steps: int = 100) -> None:
    log.run_started("lite0 fold 1", epochs * steps)
    for epoch in range(1, epochs + 1):
        for step in range(1, steps + 1):
            log.step_ended((epoch - 1) * steps + step, 1.0 / step)
        log.images_predicted(1, 10)
        log.epoch_ended(epoch, {"val/log_loss": 1.0 / epoch})
    log.warning("größer 큰")


def test_every_event_is_a_line(path: Path) -> None:
    _train(EventLog(path, "run1"), epochs=2)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[0]["payload"] == {"run_id": "run1"}
    kinds = [line["kind"] for line in lines]
    epoch = ["step", "step", "epoch"]
    assert kinds == ["run", "started", *epoch, *epoch, "warning"]
    assert [line["payload"]["step"] for line in lines if line["kind"] == "step"] == [
        50,
        100,
        150,
        200,
    ]
    assert lines[-1]["payload"] == {"message": "größer 큰"}
    assert [event.time for event in read_events(path)] == sorted(line["time"] for line in lines)


def test_the_reader_gives_what_was_written(path: Path) -> None:
    _train(EventLog(path, "run1"), epochs=3)
    assert _epochs(path) == {e: {"val/log_loss": 1 / e} for e in (1, 2, 3)}


def test_no_file_has_no_events(path: Path) -> None:
    assert read_events(path) == []


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line(path: Path, cut: int) -> None:
    log = EventLog(path, "run1")
    log.epoch_ended(1, {"val/log_loss": 1.0})
    log.epoch_ended(2, {"val/log_loss": 0.5})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert list(_epochs(path)) == [1]
    again = EventLog(path, "run1")
    again.epoch_ended(2, {"val/log_loss": 0.25})
    events = read_events(path)
    assert [event.sequence for event in events] == [1, 2, 3]
    assert _epochs(path) == {1: {"val/log_loss": 1.0}, 2: {"val/log_loss": 0.25}}
    assert path.read_bytes().count(b"\n") == 3


def test_nothing_but_a_torn_line(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"sequence": 1, "ti')
    EventLog(path, "run1")
    (event,) = read_events(path)
    assert (event.sequence, event.payload) == (1, {"run_id": "run1"})


def test_a_damaged_line_hides_no_other(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(path, "run1")
    log.epoch_ended(1, {"val/log_loss": 1.0})
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\0\0\0\n" + second)
    with caplog.at_level(logging.WARNING):
        assert [event.sequence for event in read_events(path)] == [1, 2]
    assert "1 damaged lines are passed over" in caplog.text
    EventLog(path, "run1").warning("on")
    assert read_events(path)[-1].sequence == 3


def test_an_epoch_that_is_repeated_counts_as_it_was_last(path: Path) -> None:
    EventLog(path, "run1").epoch_ended(1, {"val/log_loss": 1.0})
    EventLog(path, "run1").epoch_ended(1, {"val/log_loss": 0.75})
    events = read_events(path)
    assert _epochs(path) == {1: {"val/log_loss": 0.75}}
    assert [event.kind for event in events] == ["run", "epoch", "epoch"]


def test_another_run_is_named(path: Path) -> None:
    for run_id in ("run1", "run1", "run2", "run2", "run1"):
        EventLog(path, run_id)
    assert [event.payload["run_id"] for event in read_events(path)] == ["run1", "run2", "run1"]


def test_numbers_that_json_does_not_have(path: Path) -> None:
    EventLog(path, "run1").epoch_ended(1, {"a": math.nan, "b": -math.inf, "c": 1e-300})

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    for line in path.read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=refuse)
    metrics = read_events(path)[-1].metrics
    assert math.isnan(metrics["a"])
    assert (metrics["b"], metrics["c"]) == (-math.inf, 1e-300)


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "run", "payload": {}},
        {"kind": "run", "payload": {"run_id": "../../etc/passwd"}},
        {"kind": "run", "payload": {"run_id": 7}},
        {"kind": "run", "payload": {"run_id": "a'b"}},
        {"kind": "run", "payload": ["run_id"]},
        {"kind": "run", "payload": None},
        {"kind": "epoch", "payload": {"metrics": {}}},
        {"kind": "epoch", "payload": {"epoch": "1", "metrics": {}}},
        {"kind": "epoch", "payload": {"epoch": 1, "metrics": {"a": "x"}}},
        {"kind": "epoch", "payload": {"epoch": 1, "metrics": [1]}},
        {"kind": "epoch", "payload": {"epoch": 1}},
        {"kind": "started", "payload": {}},
        {"kind": "started", "payload": {"total_steps": "many"}},
        {"kind": "warning", "payload": {"message": ["x"]}},
        {"kind": "step", "payload": 3},
        {"kind": "run", "payload": {"run_id": "other"}, "sequence": "2"},
        {"kind": "run", "payload": {"run_id": "other"}, "time": None},
        {"kind": "run", "payload": {"run_id": "other"}, "time": float("inf")},
        {"kind": "run", "payload": {"run_id": "other"}, "more": 1},
    ],
    ids=str,
)
def test_a_line_that_is_no_event_of_ours_is_passed_over(
    path: Path, event: dict[str, object]
) -> None:
    log = EventLog(path, "run1")
    with path.open("a") as file:
        file.write(json.dumps({"sequence": 2, "time": 1.0} | event) + "\n")
    log.epoch_ended(1, {"val/log_loss": 1.0})
    assert [found.kind for found in read_events(path)] == ["run", "epoch"]
    assert run_named_in(read_events(path)) == "run1"
    assert _epochs(path) == {1: {"val/log_loss": 1.0}}

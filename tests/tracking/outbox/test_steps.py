"""A step's record: whole or not at all, delivered once, by whoever holds it."""

import os
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from carvision.errors import CarvisionError, TrackingError
from carvision.files import alone, read_json, write_json
from carvision.store.client import client
from carvision.store.open_runs import tracked_run
from carvision.store.tags import STAGE
from carvision.tracking.outbox import delivery
from carvision.tracking.outbox import steps as outbox
from carvision.tracking.outbox.record import (
    ABOUT,
    log_artifact,
    log_artifacts,
    log_metrics,
    log_params,
    log_text,
    set_tags,
)
from carvision.tracking.outbox.steps import deliver_waiting, recorded, waiting
from carvision.workspace import OUTBOX, results_lock


def _log_each() -> None:
    """One of everything."""
    log_metrics({"score": 1.5})
    log_params({"rule": "exact"})
    set_tags({"about": "a test"})
    log_text("<p>", "page.html")
    Path("table.csv").write_text("a,b")
    log_artifact(Path("table.csv"))
    with log_artifacts("predictions") as folder:
        (folder / "a.npy").write_text("1")
    with log_artifacts() as folder:
        (folder / "beside.csv").write_text("2")


def _check(run_id: str) -> None:
    run = client().get_run(run_id)
    assert run.data.metrics == {"score": 1.5}
    assert run.data.params == {"rule": "exact"}
    assert run.data.tags["about"] == "a test"
    assert len(client().get_metric_history(run_id, "score")) == 1
    assert [file.path for file in client().list_artifacts(run_id)] == [
        "beside.csv",
        "page.html",
        "predictions",
        "table.csv",
    ]
    assert [file.path for file in client().list_artifacts(run_id, "predictions")] == [
        "predictions/a.npy"
    ]


def _nothing(folder: Path) -> None:
    pass


@pytest.fixture(autouse=True)
def _quick(store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(delivery, "PAUSES", (0.0,))
    yield
    assert mlflow.active_run() is None


@pytest.fixture
def kept(store: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose record could not be sent."""
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "send", _refuse)
        with tracked_run("tune", "kept") as run, recorded(run):
            _log_each()
    return run


def _refuse(*arguments: object) -> None:
    raise MlflowException("no room")


def test_a_record_is_sent_when_it_is_whole(store: Path) -> None:
    with tracked_run("tune", "recorded") as run:
        with recorded(run):
            _log_each()
            assert client().get_run(run.info.run_id).data.metrics == {}
        _check(run.info.run_id)
    assert not list(OUTBOX.iterdir())


def test_a_step_that_fails_leaves_no_record(store: Path) -> None:
    with pytest.raises(ValueError, match="a defect"):  # noqa: SIM117
        with tracked_run("tune", "failed") as run, recorded(run):
            _log_each()
            raise ValueError("a defect")
    assert waiting() == []


def test_what_cannot_be_sent_waits_and_is_sent_once(
    kept: Run, caplog: pytest.LogCaptureFixture
) -> None:
    assert [folder.name for folder in waiting()] == [kept.info.run_id]
    client().set_terminated(kept.info.run_id, "KILLED")
    finished: list[Path] = []
    assert deliver_waiting(finished.append) == []
    assert [folder.name for folder in finished] == [kept.info.run_id]
    _check(kept.info.run_id)
    assert client().get_run(kept.info.run_id).info.status == "FINISHED"
    assert deliver_waiting(finished.append) == []
    assert len(finished) == 1
    assert not list(OUTBOX.iterdir())


def test_what_fails_again_waits_longer(
    kept: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "send", _refuse)
        assert [folder.name for folder in deliver_waiting(_nothing)] == [kept.info.run_id]
    assert "waits longer: no room" in caplog.text
    assert deliver_waiting(_nothing) == []
    _check(kept.info.run_id)


def test_killed_in_the_middle_of_the_sending(kept: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver_waiting(killed)
    assert deliver_waiting(_nothing) == []
    _check(kept.info.run_id)


@pytest.mark.parametrize("by_mlflow_run", [False, True])
def test_a_run_that_was_deleted_gets_a_new_one(
    kept: Run, by_mlflow_run: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client().delete_run(kept.info.run_id)
    if by_mlflow_run:  # opened for the command that delivers first, and that command's own
        own = client().create_run(kept.info.experiment_id, run_name="own").info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", own)
    assert deliver_waiting(_nothing) == []
    if by_mlflow_run:
        assert os.environ["MLFLOW_RUN_ID"] == own
        assert client().get_run(own).info.run_name == "own"
        assert client().get_run(own).info.status == "RUNNING"
    (run,) = mlflow.search_runs(
        filter_string="attributes.run_name = 'kept'", output_format="list", max_results=1
    )
    assert run.info.run_id != kept.info.run_id
    _check(run.info.run_id)


def test_the_record_of_another_store_is_left(kept: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "shown_uri", lambda: "http://elsewhere")
        assert waiting() == []
    assert len(waiting()) == 1
    assert deliver_waiting(_nothing) == []


def test_a_record_that_another_process_holds_is_left_to_it(kept: Run) -> None:
    with alone(results_lock(kept.info.run_id), "it"):
        assert len(deliver_waiting(_nothing)) == 1
    assert deliver_waiting(_nothing) == []


def test_a_last_step_that_has_to_wait_is_an_error(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "send", _refuse)
        with pytest.raises(TrackingError, match=r"(?s)no room.*work/outbox.*-e sync"):  # noqa: SIM117
            with tracked_run("tune", "waits") as run, recorded(run, _nothing):
                _log_each()
    assert client().get_run(run.info.run_id).info.status == "FAILED"
    assert deliver_waiting(_nothing) == []
    assert client().get_run(run.info.run_id).info.status == "FINISHED"


def test_a_last_step_that_is_wrong_is_no_outage(store: Path) -> None:
    def wrong(folder: Path) -> None:
        raise CarvisionError("of other classes")

    with pytest.raises(CarvisionError, match="of other classes"):  # noqa: SIM117
        with tracked_run("tune", "wrong") as run, recorded(run, wrong):
            _log_each()
    assert deliver_waiting(_nothing) == []
    _check(run.info.run_id)


def test_a_records_format_is_that_of_finished_folds(kept: Run) -> None:
    about = read_json(OUTBOX / kept.info.run_id / ABOUT)
    assert {"name", "tags", "metrics", "time"} <= about.keys()
    assert deliver_waiting(_nothing) == []


def test_a_record_of_an_earlier_version_is_delivered(store: Path) -> None:
    """As it was written before the stage was a part of it."""
    experiment = client().get_experiment_by_name("tests").experiment_id
    run = client().create_run(experiment, run_name="bench input", tags={STAGE: "bench"})
    folder = OUTBOX / run.info.run_id
    (folder / "artifacts/predictions").mkdir(parents=True)
    (folder / "artifacts/predictions/a.npy").write_text("1")
    for name in ("page.html", "table.csv", "beside.csv"):
        (folder / "artifacts" / name).write_text(name)
    about = {
        "run_id": run.info.run_id,
        "experiment_id": experiment,
        "name": "bench input",
        "store": mlflow.get_tracking_uri(),
        "data": "fingerprint",
        "metrics": {"score": 1.5},
        "params": {"rule": "exact"},
        "tags": {"about": "a test"},
        "time": 1764000000000,
    }
    write_json(folder / "about.json", about)
    finished: list[Path] = []
    assert deliver_waiting(finished.append) == []
    assert finished == [folder]
    _check(run.info.run_id)
    delivered = client().get_run(run.info.run_id)
    assert (delivered.info.status, delivered.data.tags[STAGE]) == ("FINISHED", "bench")
    assert not folder.exists()

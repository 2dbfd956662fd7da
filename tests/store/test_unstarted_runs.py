"""The run that ``mlflow run`` opened, when the step ended before it took it over."""

from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from carvision.errors import ConfigError
from carvision.store.client import client
from carvision.store.open_runs import tracked_run
from carvision.store.unstarted_runs import unstarted_run_closed


@pytest.fixture
def handed(store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The identifier of a run as ``mlflow run`` opens it."""
    experiment = mlflow.get_experiment_by_name("tests").experiment_id
    tags = {"mlflow.project.entryPoint": "train"}
    run = client().create_run(experiment, tags=tags, run_name="amusing-moose-194")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    return run.info.run_id


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ConfigError("unknown backbone 'swin'"), "FAILED", "unknown backbone 'swin'"),
        (OSError(13, "Permission denied"), "FAILED", "Permission denied"),
        (KeyError(), "FAILED", "KeyError"),
        (ConfigError("https://kim:secret@host"), "FAILED", "https://***@host"),
        (KeyboardInterrupt(), "KILLED", "It was interrupted"),
    ],
)
def test_a_run_that_was_not_started_says_so(
    handed: str, error: BaseException, status: str, reason: str
) -> None:
    with pytest.raises(type(error)), unstarted_run_closed():
        raise error
    run = client().get_run(handed)
    assert (run.info.run_name, run.info.status) == ("train (not started)", status)
    assert reason in run.data.tags["mlflow.note.content"]
    assert run.info.end_time is not None


def test_a_run_that_a_step_took_over_keeps_its_name(handed: str) -> None:
    with (
        pytest.raises(ConfigError),
        unstarted_run_closed(),
        tracked_run("train", "train swin_large"),
    ):
        raise ConfigError("this data has the folds 1 to 2")
    run = client().get_run(handed)
    assert (run.info.run_name, run.info.status) == ("train swin_large", "FAILED")
    assert "mlflow.note.content" not in run.data.tags


def test_without_mlflow_run_there_is_nothing_to_name(store: Path) -> None:
    before = _runs()
    with pytest.raises(ConfigError), unstarted_run_closed():
        raise ConfigError("unknown backbone")
    assert _runs() == before


def test_what_ends_well_is_left_alone(handed: str) -> None:
    with unstarted_run_closed():
        pass
    assert client().get_run(handed).info.status == "RUNNING"


def test_a_run_that_is_gone_hides_no_error(
    store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(ConfigError, match="unknown backbone"), unstarted_run_closed():
        raise ConfigError("unknown backbone")
    assert "keeps the name" in caplog.text


def _runs() -> list[str]:
    runs: list[Run] = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return [run.info.run_id for run in runs]

"""A project that was moved or copied: its artifacts are found, and written, in its own folder."""

import shutil
from pathlib import Path

import mlflow
import pytest
from filelock import FileLock

from carvision.errors import TrackingError
from carvision.store.artifacts import fetch
from carvision.store.client import client, open_store
from carvision.store.open_runs import tracked_run
from carvision.store.relocation import ROOT_TAG
from tests.store.local_project import change, enter, folder, project, rows, template

__all__ = ["folder", "project", "template"]

_PLACES = (
    "SELECT artifact_location FROM experiments UNION ALL SELECT artifact_uri FROM runs UNION ALL "
    "SELECT artifact_location FROM logged_models UNION ALL SELECT storage_location FROM "
    "model_versions"
)


@pytest.fixture
def run_id(project: Path) -> str:
    """A finished run with an artifact and a registered model, and one that was killed."""
    (project / "MLproject").touch()
    (project / "work" / "sample").mkdir(parents=True)
    with tracked_run("prepare", "a run") as run:
        mlflow.log_text("content", "folder/file.txt")
        mlflow.set_tag(ROOT_TAG, str(project / "work" / "sample"))
        logged = client().create_logged_model("0", name="model")
        (project / "model").mkdir()
        (project / "model" / "weights").write_text("weights")
        client().log_model_artifacts(logged.model_id, str(project / "model"))
        client().finalize_logged_model(logged.model_id, "READY")
        mlflow.register_model(f"models:/{logged.model_id}", "carvision-test")
    with pytest.raises(KeyboardInterrupt), tracked_run("fold", "killed"):
        raise KeyboardInterrupt
    return str(run.info.run_id)


def _version_file(folder: Path) -> str:
    uri = "models:/carvision-test/1/weights"
    found = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
    return Path(found).read_text()


@pytest.mark.parametrize("how", ["moved", "copied", "copied, and the first one removed"])
@pytest.mark.parametrize("name", ["q", "with blanks 한글 [1]"])
def test_all_of_it_is_found_and_written_here(
    project: Path,
    run_id: str,
    how: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, into = project.parent / name, project.parent / "fetched"
    into.mkdir()
    if how == "moved":
        project.rename(here)
    else:
        shutil.copytree(project, here)
    if "removed" in how:
        shutil.rmtree(project)
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    enter(here, monkeypatch)
    open_store()
    assert f"mlflow.db was in {project} before" in caplog.text
    assert fetch(run_id, "folder", into).joinpath("file.txt").read_text() == "content"
    assert _version_file(into) == "weights"
    assert client().get_run(run_id).data.tags[ROOT_TAG] == str(here / "work" / "sample")
    with tracked_run("train", "another run") as run:
        mlflow.log_text("more", "more.txt")
    assert (here / "mlruns" / "0" / run.info.run_id / "artifacts" / "more.txt").exists()
    assert all(place.startswith(f"{here}/") for (place,) in rows(here / "mlflow.db", _PLACES))
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before
    if before:
        ((left,),) = rows(project / "mlflow.db", "SELECT artifact_location FROM experiments")
        assert left == f"{project}/mlruns/0"
    assert rows(here / "work" / "before-move-mlflow.db", "SELECT COUNT(*) FROM runs") == [(2,)]
    caplog.clear()
    enter(here, monkeypatch)
    open_store()
    assert not caplog.records


def test_a_copy_without_artifacts_reads_those_of_the_first_and_writes_its_own(
    project: Path, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project.parent / "q"
    here.mkdir()
    shutil.copy(project / "mlflow.db", here)
    enter(here, monkeypatch)
    assert fetch(run_id, "folder", tmp_path).joinpath("file.txt").exists()
    with tracked_run("train", "another run") as run:
        mlflow.log_text("more", "more.txt")
    assert (here / "mlruns" / "0" / run.info.run_id).exists()
    # What was killed may go on here.
    places = rows(here / "mlflow.db", "SELECT name, artifact_uri FROM runs")
    assert {name: place.startswith(f"{project}/") for name, place in places} == {
        "a run": True,
        "killed": False,
        "another run": False,
    }


def test_a_project_whose_artifacts_were_not_moved_with_it(
    project: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its earlier folder is not made again."""
    shutil.rmtree(project / "mlruns")
    project.rename(here := project.parent / "q")
    enter(here, monkeypatch)
    with tracked_run("train", "another run"):
        mlflow.log_text("more", "more.txt")
    assert not project.exists()


@pytest.mark.parametrize(
    "place", ["/other/disk/mlruns/0", "s3://bucket/mlruns/0", "file:///other/disk/0", "/mlruns/1"]
)
def test_what_the_user_put_elsewhere_stays(project: Path, place: str) -> None:
    change(project / "mlflow.db", f"UPDATE experiments SET artifact_location = '{place}'")
    with tracked_run("train", "a run"):
        pass
    open_store()
    assert all(found.startswith(place) for (found,) in rows(project / "mlflow.db", _PLACES))


def test_one_database_of_several_projects(
    project: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another project, with runs of its own, that keeps them in the first one's database."""
    other = project.parent / "other"
    (other / "mlruns" / "0").mkdir(parents=True)
    (other / "MLproject").touch()
    before = rows(project / "mlflow.db", _PLACES)
    enter(project, monkeypatch)
    monkeypatch.chdir(other)
    open_store()
    assert rows(project / "mlflow.db", _PLACES) == before


def test_a_link_to_the_earlier_folder_is_no_move(
    project: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.rename(here := project.parent / "q")
    project.symlink_to(here)
    before = rows(here / "mlflow.db", _PLACES)
    enter(here, monkeypatch)
    open_store()
    assert rows(here / "mlflow.db", _PLACES) == before


def test_not_while_another_process_trains_here_under_the_earlier_name(
    project: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.rename(here := project.parent / "q")
    before = rows(here / "mlflow.db", _PLACES)
    enter(here, monkeypatch)
    lock = here / "work" / "locks" / "set-fold1"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock), pytest.raises(TrackingError, match="another process trains in this"):
        open_store()
    assert rows(here / "mlflow.db", _PLACES) == before
    open_store()
    assert rows(here / "mlflow.db", _PLACES) != before


@pytest.mark.parametrize("opened_by_mlflow_run", [False, True])
def test_experiments_that_the_ui_made_first(
    project: Path, monkeypatch: pytest.MonkeyPatch, opened_by_mlflow_run: bool
) -> None:
    change(
        project / "mlflow.db",
        "UPDATE experiments SET artifact_location = 'mlflow-artifacts:/' || experiment_id",
    )
    if opened_by_mlflow_run:
        run = mlflow.MlflowClient().create_run("0")
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    with tracked_run("train", "a run") as run:
        mlflow.log_text("content", "file.txt")
    assert (project / "mlruns" / "0" / run.info.run_id / "artifacts" / "file.txt").exists()


def test_experiments_of_a_server_in_use_are_its_own(project: Path) -> None:
    change(
        project / "mlflow.db",
        "UPDATE experiments SET artifact_location = 'mlflow-artifacts:/' || experiment_id",
    )
    mlflow.MlflowClient().create_run("0")
    before = rows(project / "mlflow.db", _PLACES)
    open_store()
    assert rows(project / "mlflow.db", _PLACES) == before

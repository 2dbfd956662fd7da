"""A fold in its own run: the parent is the run that it was given, whatever else is open."""

from pathlib import Path

import mlflow
import pytest

from carvision.pipelines.train import fold_run
from carvision.pipelines.train.fold_run import train_in_own_run
from carvision.store.client import client
from carvision.store.fold_sets import finished_folds
from carvision.store.tags import PARENT
from carvision.training.job import FoldJob
from tests.fold_results import fold_result
from tests.jobs import job_of


@pytest.fixture
def batch_sizes(store: Path, monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The batch sizes that trainings were given; the result is made up."""
    given: list[int | None] = []

    def trained(job: FoldJob, tracker: object, batch_size: int | None) -> object:
        given.append(batch_size)
        (job.folder / "best.safetensors").write_bytes(b"weights")
        return fold_result(job.folder, job.fold)

    monkeypatch.setattr(fold_run, "train_fold", trained)
    return given


@pytest.mark.parametrize("another_is_open", [False, True])
def test_the_parent_is_the_given_run(batch_sizes: list[int | None], another_is_open: bool) -> None:
    job = job_of(f"train.batch_size=auto seed={1 + another_is_open}").of_fold(2)
    parent = client().create_run("0").info.run_id
    if another_is_open:
        with mlflow.start_run() as another:
            assert train_in_own_run(job, parent, batch_size=4) == 16
            assert mlflow.active_run() is not None
        assert parent != another.info.run_id
    else:
        assert train_in_own_run(job, parent, batch_size=4) == 16
        assert mlflow.active_run() is None
    assert batch_sizes == [4]
    (run,) = finished_folds(job.set_id).values()
    assert (run.info.run_name, run.info.status) == (job.name, "FINISHED")
    assert run.data.tags[PARENT] == parent
    assert not job.folder.exists()


def test_auto_takes_the_batch_size_of_the_set(batch_sizes: list[int | None]) -> None:
    job = job_of("train.batch_size=auto seed=3")
    parent = client().create_run("0").info.run_id
    train_in_own_run(job, parent)
    train_in_own_run(job.of_fold(2), parent)
    assert batch_sizes == [None, 16]


def test_anew_forgets_what_was_begun(batch_sizes: list[int | None]) -> None:
    job = job_of("seed=4")
    parent = client().create_run("0").info.run_id
    for anew in (False, True):
        job.folder.mkdir(parents=True)
        begun = job.folder / "begun.txt"
        begun.touch()
        existed = []

        def noted(*arguments: object, begun: Path = begun, existed: list[bool] = existed) -> None:
            existed.append(begun.exists())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fold_run, "announce_others", noted)
            train_in_own_run(job, parent, anew=anew)
        assert existed == [not anew]

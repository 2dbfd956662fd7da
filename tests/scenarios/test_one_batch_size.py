"""``train.batch_size=auto`` comes to one number for a set's folds, with a server or without."""

from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from carvision.config import load_config
from carvision.files import write_json
from carvision.pipelines.train import fold_run
from carvision.pipelines.train.fold_run import begun_batch_size
from carvision.pipelines.train.step import train
from carvision.store.runs import find_runs
from carvision.training import CheckpointWriter, builder
from carvision.workspace import fold_folder
from tests.conftest import write_photos


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sets that MLflow, which is away, was asked for."""
    sets: list[str] = []

    def away(set_id: str) -> None:
        sets.append(set_id)
        raise MlflowException("the server has gone")

    monkeypatch.setattr(fold_run, "batch_size_of", away)
    return sets


@pytest.mark.parametrize(("given", "calls", "taken"), [("8", 0, 8), ("auto", 1, 4)])
def test_all_folds_have_the_first_one_s(
    store: Path,
    tmp_path: Path,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    calls: int,
    taken: int,
) -> None:
    found = iter([4, 2])
    monkeypatch.setattr(builder, "largest_batch", lambda *_: next(found))
    settings = f"data.folds=2 model.image_size=32 train.max_steps=1 train.batch_size={given}"
    config = load_config(overrides=settings, device="cpu")
    train([config], str(write_photos(tmp_path / "photos")), "all", "auto")
    assert len(asked) == calls
    sizes = [run.data.metrics["train/batch_size"] for run in find_runs("fold", {})[:2]]
    assert sizes == [taken, taken]


def test_what_lies_on_the_disk_is_asked_first(store: Path, asked: list[str]) -> None:
    assert begun_batch_size("a set") is None
    assert asked == ["a set"]
    begun = fold_folder("a set", 2)
    begun.mkdir(parents=True)
    checkpoints = CheckpointWriter(begun)
    checkpoints.write(1, {"batch_size": 32})
    checkpoints.write(2, {"batch_size": 32})
    checkpoints.wait()
    # What cannot be read is passed over, and left to the process whose it is.
    (begun / "step00000003.pt").write_bytes(b"half")
    assert begun_batch_size("a set") == 32
    assert (begun / "step00000003.pt").exists()
    about = fold_folder("a set", 1) / "finished" / "about.json"
    write_json(about, {"metrics": {"train/batch_size": 64.0}})
    assert begun_batch_size("a set") == 64
    assert asked == ["a set"]


def test_a_server_that_is_away_is_not_waited_for(
    store: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://127.0.0.1:9")
    assert begun_batch_size("another set") is None
    assert not asked

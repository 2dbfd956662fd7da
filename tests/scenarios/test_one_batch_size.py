"""``train.batch_size=auto`` comes to one number for a set's folds, with a server or without."""

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from carvision.config import load_config
from carvision.pipelines.train import begun_folds
from carvision.pipelines.train.step import train
from carvision.store.runs import find_runs
from carvision.training import builder
from tests.conftest import write_photos


@pytest.fixture
def asked(store: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sets that MLflow, which is away, was asked for."""
    sets: list[str] = []

    def away(set_id: str) -> None:
        sets.append(set_id)
        raise MlflowException("the server has gone")

    monkeypatch.setattr(begun_folds, "batch_size_of", away)
    return sets


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("given", "calls", "taken"), [("8", 0, 8), ("auto", 1, 4)])
def test_all_folds_have_the_first_one_s(
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

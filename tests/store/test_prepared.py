"""Prepare runs in the store: those of ours, and what others tagged."""

from pathlib import Path

import mlflow
import pytest

from carvision.errors import GoneError
from carvision.store.prepared import prepared_runs

TAGS = {
    "carvision.stage": "prepare",
    "carvision.data": "0123456789abcdef",
    "carvision.root": "/photos",
    "carvision.listing": "x",
    "carvision.split": '{"folds": 2}',
    "carvision.used_at": "1",
}


@pytest.mark.parametrize(
    "tags",
    [
        {"carvision.root": None},
        {"carvision.root": ""},
        {"carvision.root": "photos"},
        {"carvision.root": "../photos"},
        {"carvision.root": "/a\0b"},
        {"carvision.data": None},
        {"carvision.data": "../x"},
        {"carvision.listing": None},
        {"carvision.split": None},
        {"carvision.split": "{"},
        {"carvision.split": '{"folds": 0}'},
        {"carvision.split": '{"other": 1}'},
    ],
)
def test_a_run_that_others_tagged_is_passed_over(
    tags: dict[str, str | None], store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = {key: value for key, value in (TAGS | tags).items() if value is not None}
    with mlflow.start_run(tags=own) as run:
        pass
    assert run.info.run_id not in [found.run.info.run_id for found in prepared_runs()]
    assert f"run {run.info.run_id} is passed over" in caplog.text


@pytest.mark.parametrize("root", ["/photos", "C:\\photos"])
def test_a_run_of_ours_is_found(root: str, store: Path) -> None:
    """Prepared on this machine, or on one of another kind."""
    with mlflow.start_run(tags=TAGS | {"carvision.root": root}) as run:
        pass
    found = [one for one in prepared_runs() if one.run.info.run_id == run.info.run_id]
    assert [one.data for one in found] == [TAGS["carvision.data"]]


@pytest.mark.parametrize("kept", [[], ["manifest.parquet"], ["classes.json"]])
def test_a_manifest_without_a_file_is_gone(kept: list[str], store: Path) -> None:
    with mlflow.start_run(tags=TAGS | {"carvision.sha256": "{}"}) as run:
        for name in kept or ["other.txt"]:
            mlflow.log_text("x", f"manifest/{name}")
    found = next(one for one in prepared_runs() if one.run.info.run_id == run.info.run_id)
    with pytest.raises(GoneError, match=f"run {run.info.run_id} does not keep its"):
        found.manifest()
    assert found.manifest_or_none() is None

"""A fold set, and the folds that an earlier version trained."""

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest

from carvision.config import load_config
from carvision.pipelines.train.fold_set import fold_set_of
from carvision.store.tags import FOLD, SET
from tests.jobs import job_of


@pytest.mark.parametrize(("precision", "said"), [("auto", True), ("fp32", False)])
def test_folds_of_an_unknown_precision_are_named(
    store: Path, precision: str, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config(overrides=f"precision={precision} data.cache=off", device="cpu")
    job = job_of(config=config)
    for fold in ("1", "2"):
        tags = {"carvision.stage": "fold", SET: replace(job, precision="auto").set_id, FOLD: fold}
        with mlflow.start_run(tags=tags):
            pass
    prepared: Any = SimpleNamespace(manifest=job.manifest, layout=SimpleNamespace(root=job.root))
    with caplog.at_level(logging.INFO, "carvision"):
        fold_set = fold_set_of(config, prepared, [1, 2], "auto")
    assert fold_set.finished == {}
    assert [job.fold for job in fold_set.missing] == [1, 2]
    assert ("fold 1, 2 was trained by an earlier version" in caplog.text) is said

"""A fold set, and the folds that an earlier version trained."""

import logging
from types import SimpleNamespace

import mlflow
import pytest

from carvision.config import load_config
from carvision.pipelines.train import fold_set
from carvision.pipelines.train.fold_set import fold_set_of
from carvision.store.fold_sets import set_name
from carvision.store.tags import FOLD, SET


@pytest.mark.parametrize(("precision", "said"), [("auto", True), ("fp32", False)])
def test_folds_of_an_unknown_precision_are_named(store, precision, said, monkeypatch, caplog):
    config = load_config(overrides=f"precision={precision} data.cache=off")
    earlier = set_name(config, "data", None, precision="auto")
    for fold in ("1", "2"):
        tags = {"carvision.stage": "fold", SET: earlier, FOLD: fold}
        with mlflow.start_run(tags=tags):
            pass
    prepared = SimpleNamespace(manifest=SimpleNamespace(fingerprint="data"))
    monkeypatch.setattr(fold_set, "chosen_cache", lambda config, prepared: None)
    with caplog.at_level(logging.INFO, "carvision"):
        assert fold_set_of(config, prepared, "auto").done == {}
    assert ("fold 1, 2 was trained by an earlier version" in caplog.text) is said

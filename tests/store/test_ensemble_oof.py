"""An ensemble's out-of-fold photos are found by its version, wherever else runs keep theirs."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from carvision.contracts import EnsembleOof, EnsembleSpec, Member
from carvision.errors import PredictionsError
from carvision.files import scratch_folder
from carvision.store.client import client
from carvision.store.ensemble_oof import fetch_ensemble_oof, write_oof_artifacts
from carvision.store.registration import register_ensemble


def _oof(optimism: float) -> EnsembleOof:
    index = pd.DataFrame({"image_id": ["a", "b"], "group": ["a", "b"], "fold": 1, "class_index": 0})
    log_p = np.log(np.array([[0.9, 0.1], [0.4, 0.6]]))
    folds = {"efficientnet_lite0": (1, 2)}
    return EnsembleOof.of(index, log_p, -log_p[:, 0], optimism, folds, log_p.argmax(axis=1))


def _register(oof: EnsembleOof | None) -> tuple[int, str]:
    spec = EnsembleSpec(
        members=(
            Member(
                preset="efficientnet_lite0",
                registered_model="carvision-efficientnet_lite0",
                version=1,
                weights={"original": 1.0},
                temperatures={"original": 1.0},
            ),
        ),
        mixing="arithmetic",
        class_names=("Niro", "K5"),
        class_folders=(("Niro",), ("K5",)),
        score=None,
    )
    with mlflow.start_run() as run:
        if oof is not None:
            with scratch_folder() as folder:
                mlflow.set_tags(write_oof_artifacts(folder, oof))
                mlflow.log_artifacts(str(folder))
        return register_ensemble(spec, "fingerprint"), run.info.run_id


def test_each_version_has_its_own(store: Path) -> None:
    first, second = _register(_oof(0.25)), _register(_oof(0.5))
    for (version, _), optimism in ((first, 0.25), (second, 0.5)):
        found = fetch_ensemble_oof(version)
        assert found is not None
        assert found.selection_optimism == optimism
        pd.testing.assert_frame_equal(found.photos, _oof(optimism).photos)


def test_a_version_without_them_or_without_its_run(store: Path) -> None:
    version, _ = _register(None)
    assert fetch_ensemble_oof(version) is None
    version, run_id = _register(_oof(0.0))
    client().delete_run(run_id)
    assert fetch_ensemble_oof(version) is None


def test_damaged_ones_are_refused(store: Path) -> None:
    version, run_id = _register(_oof(0.0))
    client().log_text(run_id, "{}", "forecast_inputs.json")
    with pytest.raises(PredictionsError, match="not the out-of-fold photos"):
        fetch_ensemble_oof(version)

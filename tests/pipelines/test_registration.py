"""Registrations that end at once: each is compared with the one before it."""

from pathlib import Path

import mlflow
import pytest

from carvision.contracts import EnsembleOof, EnsembleSpec, write_ensemble_oof
from carvision.errors import CarvisionError
from carvision.files import alone, write_json
from carvision.pipelines import registration
from carvision.pipelines.registration import finish_delivery
from carvision.tracking.outbox.record import ABOUT, ARTIFACTS
from carvision.workspace import LOCKS
from tests.pipelines.test_champion import _oof, _spec


def test_one_ensemble_is_registered_at_a_time(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "ensemble.json", _spec(0.3).model_dump(mode="json"))
    write_json(tmp_path / ABOUT, {"data": "d"})
    (tmp_path / ARTIFACTS).mkdir()
    write_ensemble_oof(tmp_path / ARTIFACTS, _oof(range(10), 0.3))
    lock, registered = LOCKS / "register-carvision-ensemble", []

    def register(spec: EnsembleSpec, data: str, oof: EnsembleOof) -> None:
        with pytest.raises(CarvisionError, match="another process is busy"), alone(lock, "it"):
            pass
        registered.append((spec.score.nested, data, len(oof.photos)))

    monkeypatch.setattr(registration, "register_and_crown", register)
    with mlflow.start_run():
        finish_delivery(tmp_path)
    assert registered == [(0.3, "d", 10)]
    with alone(lock, "it"):  # it is free again
        pass

"""When an ensemble is registered, and when it takes the champion's place."""

from pathlib import Path

import mlflow
import pytest

from carvision.contracts import EnsembleOof, EnsembleSpec, Member, Score, write_ensemble_oof
from carvision.errors import CarvisionError, PredictionsError
from carvision.files import alone, write_json
from carvision.pipelines.tune import register_ensemble
from carvision.pipelines.tune.register_ensemble import finish_delivery, register_and_crown
from carvision.tracking.outbox.record import ABOUT, ARTIFACTS
from carvision.workspace import LOCKS
from tests.ensembling.oof_photos import oof_photos


def _spec(nested: float) -> EnsembleSpec:
    member = Member(
        preset="efficientnet_lite0",
        registered_model="carvision-efficientnet_lite0",
        version=1,
        weights={"original": 1.0},
        temperatures={"original": 1.0},
    )
    return EnsembleSpec(
        members=(member,),
        mixing="arithmetic",
        class_names=("a", "b"),
        class_folders=(("a",), ("b",)),
        score=Score(log_loss=0.2, nested=nested, data="d", folds=(1,), images=10),
    )


@pytest.mark.parametrize("damaged", [False, True])
def test_the_champions_own_photos_are_fetched(
    damaged: bool, monkeypatch: pytest.MonkeyPatch, store: object
) -> None:
    def fetch(version: int) -> EnsembleOof:
        assert version == 3
        if damaged:
            raise PredictionsError("not the photos")
        return oof_photos(range(10), 0.1)

    crowns: list[int] = []
    monkeypatch.setattr(register_ensemble, "champion_ensemble", lambda: (3, _spec(0.3)))
    monkeypatch.setattr(register_ensemble, "fetch_ensemble_oof", fetch)
    monkeypatch.setattr(register_ensemble, "register_ensemble", lambda spec, data: 4)
    monkeypatch.setattr(register_ensemble, "crown_ensemble", crowns.append)
    with mlflow.start_run() as run:
        register_and_crown(_spec(0.2), "d", oof_photos(range(10), 0.2))
    tags = mlflow.get_run(run.info.run_id).data.tags
    # On the photos it is the worse one; by the scores, if they are all there is, the better.
    assert crowns == ([4] if damaged else [])
    assert tags["carvision.crowned"] == str(damaged).lower()


def test_the_same_result_says_so(monkeypatch: pytest.MonkeyPatch, store: object) -> None:
    monkeypatch.setattr(register_ensemble, "champion_ensemble", lambda: (3, _spec(0.3)))
    with mlflow.start_run() as run:
        register_and_crown(_spec(0.3), "d", oof_photos(range(10), 0.3))
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags["carvision.comparison"].endswith("version 3, the champion already")
    assert tags["carvision.crowned"] == "false"


def test_a_result_of_another_number_of_threads_registers_no_version(
    monkeypatch: pytest.MonkeyPatch, store: object
) -> None:
    """BLAS adds in another order there: weights and scores are 1e-15 apart."""
    held, found = _spec(0.3), _spec(0.3 + 1e-15)
    weights = {"original": 1 - 1e-15, "hflip": 0.0}
    temperatures = {"original": 1.0 + 1e-15, "hflip": 1.0}
    (member,) = held.members
    held = held.model_copy(
        update={
            "members": (
                member.model_copy(
                    update={
                        "weights": {"original": 1.0, "hflip": 1e-16},
                        "temperatures": dict.fromkeys(weights, 1.0),
                    }
                ),
            )
        }
    )
    found = found.model_copy(
        update={
            "members": (
                member.model_copy(update={"weights": weights, "temperatures": temperatures}),
            )
        }
    )
    assert held != found
    monkeypatch.setattr(register_ensemble, "champion_ensemble", lambda: (3, held))
    with mlflow.start_run() as run:
        register_and_crown(found, "d", oof_photos(range(10), 0.3))
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags["carvision.comparison"].endswith("version 3, the champion already")


def test_one_ensemble_is_registered_at_a_time(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "ensemble.json", _spec(0.3).model_dump(mode="json"))
    write_json(tmp_path / ABOUT, {"data": "d"})
    (tmp_path / ARTIFACTS).mkdir()
    write_ensemble_oof(tmp_path / ARTIFACTS, oof_photos(range(10), 0.3))
    lock, registered = LOCKS / "register-carvision-ensemble", []

    def register(spec: EnsembleSpec, data: str, oof: EnsembleOof) -> None:
        with pytest.raises(CarvisionError, match="another process is busy"), alone(lock, "it"):
            pass
        registered.append((spec.score.nested, data, len(oof.photos)))

    monkeypatch.setattr(register_ensemble, "register_and_crown", register)
    with mlflow.start_run():
        finish_delivery(tmp_path)
    assert registered == [(0.3, "d", 10)]
    with alone(lock, "it"):  # it is free again
        pass

"""The last step of ``tune``: its ensemble is registered, now or once the server is back."""

from pathlib import Path

import mlflow

from carvision.contracts import EnsembleSpec, read_ensemble_oof, read_spec
from carvision.files import one_at_a_time, read_json, write_json
from carvision.pipelines.champion import CROWNED, register_and_crown
from carvision.store.champions import ENSEMBLE
from carvision.store.runs import client
from carvision.tracking.outbox.record import ABOUT, ARTIFACTS, Record
from carvision.workspace import registration_lock

_SPEC = "ensemble.json"


def to_register(record: Record, spec: EnsembleSpec, fingerprint: str) -> None:
    """Keep an ensemble in the record of its ``tune`` run, beside its out-of-fold photos."""
    write_json(record.folder / _SPEC, spec.model_dump(mode="json"))
    record.others["data"] = fingerprint


def finish_delivery(folder: Path) -> None:
    """Register the ensemble that a record holds, if it holds one, in the open run; once."""
    if not (folder / _SPEC).exists():
        return
    run = mlflow.active_run()
    assert run is not None  # a record is delivered to an open run
    if CROWNED in client().get_run(run.info.run_id).data.tags:
        return
    spec, fingerprint = read_spec(folder / _SPEC), read_json(folder / ABOUT)["data"]
    oof = read_ensemble_oof(folder / ARTIFACTS)
    # Of two that end at once, the second is compared with the first.
    with one_at_a_time(registration_lock(ENSEMBLE)):
        register_and_crown(spec, fingerprint, oof)

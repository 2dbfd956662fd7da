"""The out-of-fold photos of an ensemble, in the run that registered its version."""

from pathlib import Path

from carvision.contracts import EnsembleOof, read_ensemble_oof, write_ensemble_oof
from carvision.contracts.checksums import SUMS, damage, sums_of
from carvision.contracts.ensemble_oof import FORECAST_FILE, OOF_FILE
from carvision.errors import PredictionsError
from carvision.files import scratch_folder
from carvision.store.artifacts import fetch
from carvision.store.champions import ENSEMBLE
from carvision.store.client import client
from carvision.store.runs import exists


def write_oof_artifacts(folder: Path, oof: EnsembleOof) -> dict[str, str]:
    """Write the artifacts of the run that registers an ensemble; return its tags.

    By the tags, :func:`fetch_ensemble_oof` notices a file that was damaged.
    """
    write_ensemble_oof(folder, oof)
    return {SUMS: sums_of(folder)}


def fetch_ensemble_oof(version: int) -> EnsembleOof | None:
    """Fetch the out-of-fold photos of a version of the ensemble; None where its run has none.

    Raises:
        PredictionsError: the run's files are damaged.
    """
    run_id = client().get_model_version(ENSEMBLE, str(version)).run_id
    if not run_id or not exists(run_id):
        return None
    names = (OOF_FILE, FORECAST_FILE)
    if not {item.path for item in client().list_artifacts(run_id)}.issuperset(names):
        return None
    with scratch_folder() as folder:
        files = {name: fetch(run_id, name, folder) for name in names}
        oof = read_ensemble_oof(folder)
        stored = client().get_run(run_id).data.tags.get(SUMS)
        if stored is not None and (wrong := damage(files, stored)) is not None:
            raise PredictionsError(f"run {run_id}: {wrong}; tune again: mlflow run . -e tune")
        return oof

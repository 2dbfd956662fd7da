"""The model registry: backbones by fold set, and ensembles."""

import logging
import shutil
from collections.abc import Mapping
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model

import carvision
from carvision import serving
from carvision.config import list_models
from carvision.contracts import EnsembleSpec
from carvision.contracts.sums import SUMS, sums_of
from carvision.files import link_or_copy, scratch_folder, write_json
from carvision.models import Bundle
from carvision.store.champions import ENSEMBLE, crown_member
from carvision.store.client import client
from carvision.store.fold_sets import has_predictions
from carvision.store.model_files import BUNDLE, SPEC, SPEC_FILE, has_bundle, log_model_files
from carvision.store.tags import DATA, FOLD, MODEL, SET
from carvision.store.versions import (
    FOLD_RUNS,
    OOF,
    SMOKE_RUN,
    WEIGHT,
    MemberVersion,
    member_of,
    member_or_none,
    registered_name,
)

_FOLDS = "folds"
_WEIGHTS = "*.safetensors"

log = logging.getLogger(__name__)

#: What a registered model needs to be loaded elsewhere; the pins are what it was written with.
REQUIREMENTS = (
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "timm",
    "torch",
    "torchvision",
)


def find_member(preset: str, set_id: str, fold_runs: list[str]) -> MemberVersion | None:
    """The version that holds exactly these fold runs, if it was registered before.

    One whose weights were removed counts as not registered.
    """
    filter_string = f"name = '{registered_name(preset)}' and tags.`{SET}` = '{set_id}'"
    for entry in client().search_model_versions(filter_string):
        member = member_or_none(entry)
        if member is not None and member.fold_runs == fold_runs:
            if has_bundle(member.name, member.version):
                return member
            log.warning("the files of %s version %s were removed", member.name, member.version)
    return None


def superseded_by(member: MemberVersion) -> list[int]:
    """Versions that hold some of a version's folds and no others."""
    filter_string = f"name = '{member.name}' and tags.`{SET}` = '{member.fold_set}'"
    others = map(member_or_none, client().search_model_versions(filter_string))
    return sorted(
        one.version for one in others if one and set(one.fold_runs) < set(member.fold_runs)
    )


def members_of(data: str) -> list[MemberVersion]:
    """Registered backbones' versions trained on ``data``, the one to use first coming first.

    Versions of others are passed over, and so are those that lack files, up to the first of each
    backbone that has all of its own.
    """
    known = {registered_name(preset) for preset in list_models()}
    entries = client().search_model_versions(f"tags.`{DATA}` = '{data}'")
    found = [member_or_none(entry) for entry in entries if entry.name in known]
    whole: set[str] = set()
    members = []
    ours = [member for member in found if member is not None]
    for member in sorted(ours, key=lambda member: member.rank):
        if member.preset in whole or _is_whole(member):
            whole.add(member.preset)
            members.append(member)
    return members


def _is_whole(member: MemberVersion) -> bool:
    """Whether a version's predictions and weights are there; a log line names one without."""
    gone = [run_id for run_id in member.fold_runs if not has_predictions(run_id)]
    if gone:
        what = f"the predictions of run {', '.join(gone)} were removed"
    elif not has_bundle(member.name, member.version):
        what = "its weights were removed"
    else:
        return True
    passed_over = (member.name, member.version, what)
    log.warning("passed over: %s version %s, %s; train it again to use it", *passed_over)
    return False


def register_member(
    bundle: Bundle,
    *,
    data: str,
    set_id: str,
    fold_runs: Mapping[int, str],
    all_folds: int,
    oof_log_loss: float,
    smoke_run: bool,
) -> MemberVersion:
    """Log a bundle as a model of the open run, and register it as a new version.

    It becomes the backbone's champion of its data when it ranks better there.
    """
    name = registered_name(bundle.config.name)
    tags = {
        MODEL: bundle.config.name,
        DATA: data,
        SET: set_id,
        FOLD: ",".join(map(str, fold_runs)),
        _FOLDS: f"{len(fold_runs)}/{all_folds}",
        FOLD_RUNS: ",".join(fold_runs.values()),
        SMOKE_RUN: str(smoke_run).lower(),
        WEIGHT: repr(bundle.config.model.ensemble_weight),
        OOF: repr(oof_log_loss),
        SUMS: sums_of(bundle.folder),
    }
    entry = _log_and_register(
        name, serving.MEMBER_CODE, BUNDLE, bundle.folder, bundle.classes.names, tags
    )
    member = member_of(entry)
    crown_member(member)
    return member


def register_ensemble(spec: EnsembleSpec, data: str) -> int:
    """Register an ensemble in the open run; return its version. The alias is set apart."""
    with scratch_folder() as folder:
        path = folder / SPEC_FILE
        write_json(path, spec.model_dump(mode="json"))
        mlflow.log_artifact(str(path))
        entry = _log_and_register(
            ENSEMBLE,
            serving.ENSEMBLE_CODE,
            SPEC,
            path,
            spec.class_names,
            {DATA: data, SUMS: sums_of(folder)},
        )
    return int(entry.version)


def _log_and_register(
    name: str,
    code: Path,
    kind: str,
    artifact: Path,
    class_names: tuple[str, ...],
    tags: dict[str, Any],
) -> ModelVersion:
    """Log the file or folder ``artifact`` as a model, which finds it by the name ``kind``."""
    run = mlflow.active_run()
    assert run is not None  # every pipeline registers inside its run
    logged = client().create_logged_model(
        run.info.experiment_id, name="model", source_run_id=run.info.run_id
    )
    # Saved and sent in two steps: log_model would also load what it logged and predict with it,
    # which for an ensemble means to fetch and run every member's every fold.
    with scratch_folder() as folder:
        model = folder / "model"
        mlflow.pyfunc.save_model(
            str(model),
            mlflow_model=Model(run_id=run.info.run_id, model_id=logged.model_id),
            python_model=str(code),
            code_paths=[str(Path(carvision.__file__).parent)],
            artifacts={kind: str(_without_weights(artifact, folder))},
            signature=serving.model_signature(class_names),
            input_example=serving.input_example(),
            pip_requirements=[_pin(package) for package in REQUIREMENTS],
            model_config=serving.default_model_config(),
            # Here, too, where the loaded model finds them: it does not know its version.
            metadata={SUMS: tags[SUMS]},
        )
        for weights in artifact.glob(_WEIGHTS):
            link_or_copy(weights, model / "artifacts" / artifact.name / weights.name)
        log_model_files(logged.model_id, model)
    client().finalize_logged_model(logged.model_id, "READY")
    client().log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    version = mlflow.register_model(f"models:/{logged.model_id}", name, tags=tags)
    return client().get_model_version(name, version.version)


def _without_weights(artifact: Path, into: Path) -> Path:
    """What MLflow may copy several times of ``artifact``: all of it but gigabytes of weights."""
    if artifact.is_file():
        return artifact
    light = into / artifact.name
    shutil.copytree(artifact, light, ignore=shutil.ignore_patterns(_WEIGHTS))
    return light


def _pin(package: str) -> str:
    # A build's own suffix (+cpu) is of one machine.
    return f"{package}=={installed_version(package).partition('+')[0]}"

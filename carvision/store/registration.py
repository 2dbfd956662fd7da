"""How backbones and ensembles become versions of registered models."""

import shutil
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import Model

import carvision
from carvision import serving
from carvision.contracts import EnsembleSpec
from carvision.contracts.checksums import SUMS, sums_of
from carvision.files import link_or_copy, scratch_folder, write_json
from carvision.models import Bundle
from carvision.store.champions import ENSEMBLE, crown_member
from carvision.store.client import client
from carvision.store.member_versions import (
    WEIGHT,
    MemberVersion,
    TrainedFolds,
    member_of,
    registered_name,
)
from carvision.store.model_files import BUNDLE, SPEC, SPEC_FILE, log_model_files
from carvision.store.tags import DATA, MODEL

_WEIGHTS = "*.safetensors"

#: The packages that a registered model needs; it pins the versions that it was written with.
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


def register_member(bundle: Bundle, trained: TrainedFolds) -> MemberVersion:
    """Log a bundle as a model of the open run, and register it as a new version.

    The version becomes the backbone's champion of its data if it ranks better than that.
    """
    name = registered_name(bundle.config.name)
    tags = trained.tags | {
        MODEL: bundle.config.name,
        WEIGHT: repr(bundle.config.model.ensemble_weight),
        SUMS: sums_of(bundle.folder),
    }
    entry = _log_and_register(
        name, serving.MEMBER_CODE, BUNDLE, bundle.folder, bundle.classes.names, tags
    )
    member = member_of(entry)
    crown_member(member)
    return member


def register_ensemble(spec: EnsembleSpec, data: str) -> int:
    """Register an ensemble in the open run; return its version, which has no alias yet."""
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
    """Log a model whose ``code`` reads the file or folder ``artifact`` by the name ``kind``."""
    run = mlflow.active_run()
    assert run is not None  # every pipeline registers inside its run
    logged = client().create_logged_model(
        run.info.experiment_id, name="model", source_run_id=run.info.run_id
    )
    # Saved and sent in two steps: log_model would also load the model and predict with it, which
    # for an ensemble means to fetch and run every fold of every member.
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
            # Here as well as in the tags: a loaded model does not know its version.
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
    """A copy of ``artifact`` without the weights: MLflow copies a model's files several times."""
    if artifact.is_file():
        return artifact
    light = into / artifact.name
    shutil.copytree(artifact, light, ignore=shutil.ignore_patterns(_WEIGHTS))
    return light


def _pin(package: str) -> str:
    # Without the suffix of a build (+cpu), which another machine may not have.
    return f"{package}=={installed_version(package).partition('+')[0]}"

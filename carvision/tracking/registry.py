"""The model registry: backbones by fold set, ensembles, and which version is the champion."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Final

import mlflow
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model

import carvision
from carvision import serving
from carvision.config import list_models
from carvision.contracts import EnsembleSpec
from carvision.errors import TrackingError
from carvision.files import read_json, scratch_folder, write_json
from carvision.models import Bundle, read_bundle
from carvision.tracking.store import DATA, FOLD, MODEL, SET, client

ENSEMBLE: Final = "carvision-ensemble"
CHAMPION: Final = "champion"
_FOLD_RUNS = "carvision.fold_runs"
_TRIAL_RUN = "carvision.trial_run"
_OOF = "carvision.oof_log_loss"
_WEIGHT = "carvision.ensemble_weight"
_FOLDS = "folds"

log = logging.getLogger(__name__)

#: What a registered model needs to be loaded elsewhere; the pins are what it was written with.
REQUIREMENTS = (
    "albumentations",
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


@dataclass(frozen=True)
class MemberVersion:
    """A version of a registered backbone, as its tags describe it."""

    entry: ModelVersion

    @property
    def preset(self) -> str:
        """The backbone's preset."""
        return self.entry.tags[MODEL]

    @property
    def version(self) -> int:
        """The registry's number."""
        return int(self.entry.version)

    @property
    def name(self) -> str:
        """The registered model's name."""
        return str(self.entry.name)

    @property
    def data(self) -> str:
        """Fingerprint of the data it was trained on."""
        return self.entry.tags[DATA]

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds it holds."""
        return tuple(int(fold) for fold in self.entry.tags[FOLD].split(","))

    @property
    def fold_runs(self) -> list[str]:
        """Runs that hold its out-of-fold predictions, in the order of ``folds``."""
        return self.entry.tags[_FOLD_RUNS].split(",")

    @property
    def trial_run(self) -> bool:
        """Whether ``train.max_steps`` cut its training, and its predictions with it."""
        return self.entry.tags[_TRIAL_RUN] == "true"

    @property
    def ensemble_weight(self) -> float:
        """Its weight by the plan, as it was configured."""
        return float(self.entry.tags[_WEIGHT])

    @property
    def oof_log_loss(self) -> float:
        """Out-of-fold log loss of the original view."""
        return float(self.entry.tags[_OOF])

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Sorts the version to use first: whole before trial, more folds, lower log loss."""
        return (self.trial_run, -len(self.folds), self.oof_log_loss)

    def fetch(self, into: Path) -> Bundle:
        """Download its weights."""
        return read_bundle(serving.fetch_bundle(self.name, self.version, into))


def registered_name(preset: str) -> str:
    """The registered model of a backbone."""
    return f"carvision-{preset}"


def find_member(preset: str, set_id: str, fold_runs: list[str]) -> MemberVersion | None:
    """The version that holds exactly these fold runs, if it was registered before."""
    filter_string = f"name = '{registered_name(preset)}' and tags.`{SET}` = '{set_id}'"
    for entry in client().search_model_versions(filter_string):
        if entry.tags.get(_FOLD_RUNS) == ",".join(fold_runs):
            return MemberVersion(entry)
    return None


def members_of(data: str) -> list[MemberVersion]:
    """All registered backbones' versions trained on ``data``."""
    known = {registered_name(preset) for preset in list_models()}
    entries = client().search_model_versions(f"tags.`{DATA}` = '{data}'")
    return [MemberVersion(entry) for entry in entries if entry.name in known]


def register_member(
    bundle: Bundle,
    *,
    data: str,
    set_id: str,
    fold_runs: Mapping[int, str],
    all_folds: int,
    oof_log_loss: float,
    trial_run: bool,
) -> MemberVersion:
    """Log a bundle as a model of the open run, and register it as a new version.

    It becomes the backbone's champion when it ranks better on the same data, or is of other data.
    """
    name = registered_name(bundle.config.name)
    tags = {
        MODEL: bundle.config.name,
        DATA: data,
        SET: set_id,
        FOLD: ",".join(map(str, fold_runs)),
        _FOLDS: f"{len(fold_runs)}/{all_folds}",
        _FOLD_RUNS: ",".join(fold_runs.values()),
        _TRIAL_RUN: str(trial_run).lower(),
        _WEIGHT: repr(bundle.config.model.ensemble_weight),
        _OOF: repr(oof_log_loss),
    }
    entry = _log_and_register(
        name,
        serving.MEMBER_CODE,
        {serving.BUNDLE: str(bundle.folder)},
        bundle.classes.names,
        tags,
    )
    member = MemberVersion(entry)
    holder = _champion_entry(name)
    if holder is None or _takes_over(member, MemberVersion(holder)):
        client().set_registered_model_alias(name, CHAMPION, member.entry.version)
        if holder is not None:
            versions = (name, entry.version, holder.version)
            log.info("%s: version %s is the champion, no longer %s", *versions)
    return member


def _takes_over(new: MemberVersion, held: MemberVersion) -> bool:
    """Better on the same data, or of other data; a trial run never replaces a whole one."""
    if new.data != held.data:
        return held.trial_run or not new.trial_run
    return new.rank < held.rank


def register_ensemble(spec: EnsembleSpec, data: str) -> int:
    """Register an ensemble in the open run; return its version. The alias is set apart."""
    with scratch_folder() as folder:
        path = folder / serving.SPEC_FILE
        write_json(path, spec.model_dump(mode="json"))
        mlflow.log_artifact(str(path))
        entry = _log_and_register(
            ENSEMBLE,
            serving.ENSEMBLE_CODE,
            {serving.SPEC: str(path)},
            spec.class_names,
            {DATA: data},
        )
    return int(entry.version)


def crown_ensemble(version: int) -> None:
    """Make a version of the ensemble the one in use."""
    client().set_registered_model_alias(ENSEMBLE, CHAMPION, str(version))


def champion_ensemble() -> tuple[int, EnsembleSpec] | None:
    """The ensemble in use and its version; None when none was registered."""
    entry = _champion_entry(ENSEMBLE)
    if entry is None:
        return None
    with scratch_folder() as folder:
        path = serving.fetch_spec(ENSEMBLE, int(entry.version), folder)
        return int(entry.version), EnsembleSpec.model_validate(read_json(path))


def member_version(name: str, version: int) -> MemberVersion:
    """A pinned version.

    Raises:
        TrackingError: it was deleted from the registry.
    """
    try:
        return MemberVersion(client().get_model_version(name, str(version)))
    except MlflowException as error:
        raise TrackingError(
            f"the registry has no {name} version {version}, which the ensemble pins; "
            f"tune again: mlflow run . -e tune ({error})"
        ) from error


def _champion_entry(name: str) -> ModelVersion | None:
    try:
        return client().get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _log_and_register(
    name: str,
    code: Path,
    artifacts: dict[str, str],
    class_names: tuple[str, ...],
    tags: dict[str, Any],
) -> ModelVersion:
    run = mlflow.active_run()
    assert run is not None  # every pipeline registers inside its run
    logged = client().create_logged_model(
        run.info.experiment_id, name="model", source_run_id=run.info.run_id
    )
    # Saved and sent in two steps: log_model would also load what it logged and predict with it,
    # which for an ensemble means to fetch and run every member's every fold.
    with scratch_folder() as folder:
        mlflow.pyfunc.save_model(
            str(folder / "model"),
            mlflow_model=Model(run_id=run.info.run_id, model_id=logged.model_id),
            python_model=str(code),
            code_paths=[str(Path(carvision.__file__).parent)],
            artifacts=artifacts,
            signature=serving.model_signature(class_names),
            input_example=serving.input_example(),
            pip_requirements=[_pin(package) for package in REQUIREMENTS],
            model_config=serving.default_model_config(),
        )
        client().log_model_artifacts(logged.model_id, str(folder / "model"))
    client().finalize_logged_model(logged.model_id, "READY")
    client().log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    version = mlflow.register_model(f"models:/{logged.model_id}", name, tags=tags)
    return client().get_model_version(name, version.version)


def _pin(package: str) -> str:
    # A build's own suffix (+cpu) is of one machine.
    return f"{package}=={installed_version(package).partition('+')[0]}"

"""Which registered ensemble predicts the test photos."""

from pathlib import Path

from carvision.config import RunSettings, path_text
from carvision.contracts import VIEWS, EnsembleSpec, nfc
from carvision.data.folder.layout import Layout
from carvision.data.manifest import Manifest
from carvision.data.submission import Template
from carvision.errors import DataError, TrackingError
from carvision.pipelines.prepare.prepared_data import find_layout, known_manifest
from carvision.reporting.console import announce
from carvision.store.champions import champion_ensemble, data_champion, other_champions
from carvision.store.member_choice import choose_members
from carvision.store.pins import build_spec
from carvision.store.prepared import PreparedRun, prepared_runs
from carvision.store.tags import DATA
from carvision.tracking.outbox.record import set_tags


def ensemble_to_use(
    settings: RunSettings, data: str, beside: Layout
) -> tuple[int | None, EnsembleSpec]:
    """Choose the ensemble for ``data`` and its version, or the plan's fixed weights and None.

    ``beside`` is the folder of the test photos. The open run is tagged with the data that the
    ensemble was tuned on.

    Raises:
        TrackingError: the champion cannot be used, or not even a backbone is registered.
    """
    champion = champion_for(settings, data, beside)
    if champion is not None:
        version, spec = champion
        set_tags({DATA: spec.score.data if spec.score else "unknown"})
        return version, spec
    manifest = known_manifest(settings, data)
    set_tags({DATA: manifest.fingerprint})
    return None, _planned_ensemble(manifest)


def _planned_ensemble(manifest: Manifest) -> EnsembleSpec:
    """An ensemble of the registered backbones with the plan's weights, equal for all views."""
    members = choose_members(manifest.fingerprint, ())
    names = ", ".join(f"{member.preset} v{member.version}" for member in members)
    announce(
        f"no ensemble is registered yet: using the plan's fixed weights over {names}, every view "
        "alike; a view that hurts is not left out: better run `mlflow run . -e tune` first"
    )
    total = sum(member.ensemble_weight for member in members) * len(VIEWS)
    weights = {(m.preset, view): m.ensemble_weight / total for m in members for view in VIEWS}
    temperatures = [1.0] * len(members)
    return build_spec(manifest.classes, members, weights=weights, temperatures=temperatures)


def champion_for(
    settings: RunSettings, data: str, beside: Layout
) -> tuple[int, EnsembleSpec] | None:
    """Choose the ensemble to predict with: its version and specification.

    It is the champion of ``data``, or else one of the same classes, or else the general champion.
    ``beside`` is the folder of the test photos, where a template may name the classes. None where
    no ensemble is registered.

    Raises:
        TrackingError: the champion cannot be used, and no other is of these classes.
    """
    prepared = _prepared_run(settings, data)
    chosen = choose_champion(prepared, beside)
    if chosen is not None:
        _announce_chosen(*chosen, prepared)
    return chosen


def choose_champion(
    prepared: PreparedRun | None, beside: Layout
) -> tuple[int, EnsembleSpec] | None:
    """Choose as :func:`champion_for` does, for data that the run ``prepared`` prepared.

    Raises:
        TrackingError: the champion cannot be used, and no other is of these classes.
    """
    refused: TrackingError | None = None
    general = None
    try:
        general = champion_ensemble()
    except TrackingError as error:
        refused = error
    if prepared is not None:
        is_own = general and general[1].score and general[1].score.data == prepared.data
        own = general if is_own else data_champion(prepared.data)
        if own is not None:
            if refused is not None:
                announce(str(refused))
            return own
    # Without the manifest's file, the template's columns are the classes that are known.
    manifest = None if prepared is None else prepared.manifest_or_none()
    for champion in [general, *other_champions()]:
        if champion is not None and _fits(champion[1], manifest, beside):
            return champion
    if refused is not None:
        raise refused
    return general


def _prepared_run(settings: RunSettings, data: str) -> PreparedRun | None:
    """The run that prepared ``data`` last, with the folds and classes asked for if one did."""
    runs = prepared_runs()
    if data != "latest":
        try:
            root = find_layout(data).root
        # The data may be on another machine, with the test photos alone on this one.
        except DataError:
            root = Path(path_text(data)).absolute()
        runs = [run for run in runs if run.root == root]
    asked = [run for run in runs if settings.data.split(run.split) == run.split]
    return next(iter(asked or runs), None)


def _fits(spec: EnsembleSpec, manifest: Manifest | None, beside: Layout) -> bool:
    """Whether an ensemble predicts the classes of the prepared data, or else of the template."""
    if manifest is not None:
        return manifest.classes == spec.classes
    if beside.template is None:
        return False
    columns = {nfc(column) for column in Template.read(beside.template).columns}
    return columns == {folder for group in spec.class_folders for folder in group}


def _announce_chosen(version: int, spec: EnsembleSpec, prepared: PreparedRun | None) -> None:
    tuned_on = spec.score.data if spec.score else "unknown"
    which = f"carvision-ensemble version {version}"
    if prepared is None or tuned_on == prepared.data:
        announce(f"using {which}, the champion, tuned on {tuned_on}")
    else:
        announce(
            f"no ensemble was tuned on this data ({prepared.data}): using {which}, tuned on "
            f"{tuned_on}; better tune on this data first: mlflow run . -e tune"
        )

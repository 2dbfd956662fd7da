"""registered ensemble -> submission.csv, through the weights of each view."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.config import Config
from carvision.contracts import (
    VIEWS,
    ClassMap,
    EnsembleSpec,
    Predictions,
    nfc,
    write_predictions,
)
from carvision.data.layout import Layout
from carvision.data.submission import (
    Template,
    build_submission,
    read_answers,
    write_submission,
)
from carvision.data.test_photos import TestPhotos
from carvision.ensembling.averaging import FoldMixtures
from carvision.errors import ConfigError, DataError, TrackingError
from carvision.files import replacing, scratch_folder
from carvision.inference import Engine, predict_ensemble, predict_member, resolve_device
from carvision.inference.memory import keep_freed_memory
from carvision.metrics import SMALLEST, competition_log_loss
from carvision.pipelines.forecasting import (
    forecast_basis,
    forecast_inputs,
    photo_table,
    report_forecast,
)
from carvision.pipelines.members import choose_members
from carvision.pipelines.prepare import find_layout, known_manifest, opened
from carvision.pipelines.session import announce, show_address
from carvision.pipelines.specification import build_spec
from carvision.reporting.console import console, progress
from carvision.reporting.forecast_page import Truth
from carvision.reporting.tables import show_test_scores, show_weights
from carvision.tracking.prepared import prepared_runs
from carvision.tracking.registry import champion_ensemble, member_version
from carvision.tracking.store import DATA, tracked_run

STAGE_ENSEMBLE = "ensemble"


def ensemble(config: Config, data: str, *, test: str, output: Path, tta_steps: int) -> Path:
    """The entry point: predict the test photos with the champion, and write the submission.

    ``test`` is a folder or a CSV, empty for the data's own. Without a registered ensemble the
    plan's fixed weights are used over the registered backbones.

    Raises:
        ConfigError: ``tta_steps`` is out of range.
        DataError: a test photo is missing, or the template is of other classes.
        TrackingError: neither an ensemble nor a backbone is registered.
    """
    if not 1 <= tta_steps <= len(VIEWS):
        raise ConfigError(f"tta_steps={tta_steps}: expected 1 to {len(VIEWS)} ({', '.join(VIEWS)})")
    check_writable(output)
    with tracked_run(STAGE_ENSEMBLE, "ensemble") as run:
        photos, beside = find_test(data, test)
        version, tuned = _specification(config, data)
        spec = tuned.with_views(VIEWS[:tta_steps])
        if not test:
            _refuse_other_classes(beside, spec)
        template = template_for(beside, photos, spec.classes)
        answers = read_answers(beside.answers, template.ids) if beside.answers else None
        show_weights(spec)
        inputs = forecast_inputs(version, tuned, spec)
        members, folds = _predict(config, spec, photos)
        _log_predictions(spec, photos, members)
        submitted = predict_ensemble(spec, members)
        submission = build_submission(template, spec.classes, photos.ids, submitted)
        write_submission(output, submission)
        mlflow.log_artifact(str(output))
        truth = None
        if answers is not None:
            expected = _nested_score(tuned, spec)
            truth = _show_scores(spec, expected, template, photos, members, submission, answers)
        table = photo_table(spec, photos, submitted, members)
        basis = forecast_basis(inputs, folds, submitted, config.seed)
        report_forecast(basis, table, photos, truth)
        console.print(
            f"submission: {output.resolve()} ({len(submission):,} rows)",
            highlight=False,
            soft_wrap=True,
        )
        show_address(run)
    return output


def check_writable(output: Path) -> None:
    """Refuse an output that cannot be written before the hours that fill it."""
    if output.is_dir():
        raise ConfigError(f"output={output} is a folder; give the name of a file")
    try:
        with replacing(output.with_name(f".{output.name}.probe")) as probe:
            probe.write_text("")
        output.with_name(f".{output.name}.probe").unlink()
    except OSError as error:
        raise ConfigError(f"output={output} cannot be written: {error}") from error


def find_test(data: str, test: str) -> tuple[TestPhotos, Layout]:
    """The test photos, and the folder where a template and answers may lie beside them.

    Raises:
        DataError: there are no test photos, or a listed one is missing.
    """
    if not test:
        layout = find_layout(data)
        return TestPhotos.of(layout), layout
    given = Path(test).expanduser()
    source = opened(given)
    if source != given:
        # An unpacked archive: of the competition's layout, or of photos alone.
        layout = Layout.at(source)
        photos = TestPhotos.of(layout) if layout.test else TestPhotos.of(None, str(source))
        return photos, layout
    return TestPhotos.of(None, str(given)), Layout.at(given.absolute().parent)


def template_for(layout: Layout, photos: TestPhotos, classes: ClassMap) -> Template:
    """The template that lies beside the test photos, or one of the classes' own columns.

    Raises:
        DataError: it is of other classes, or of other photos.
    """
    if layout.template:
        template = Template.read(layout.template)
    else:
        template = Template.of_classes(photos.ids, classes)
    template.check(classes, photos.ids)
    return template


def _specification(config: Config, data: str) -> tuple[int | None, EnsembleSpec]:
    """The champion and its version, or the plan's fixed weights and none."""
    champion = champion_ensemble()
    if champion is not None:
        version, spec = champion
        tuned_on = spec.score.data if spec.score else "unknown"
        announce(f"using carvision-ensemble version {version}, the champion, tuned on {tuned_on}")
        mlflow.set_tag(DATA, tuned_on)
        return version, spec
    manifest = known_manifest(config, data)
    mlflow.set_tag(DATA, manifest.fingerprint)
    members = choose_members(manifest.fingerprint, ())
    names = ", ".join(f"{member.preset} v{member.version}" for member in members)
    announce(
        f"no ensemble is registered yet: using the plan's fixed weights over {names}, every view "
        "alike; a view that hurts is not left out: better run `mlflow run . -e tune` first"
    )
    total = sum(member.ensemble_weight for member in members) * len(VIEWS)
    weights = {(m.preset, view): m.ensemble_weight / total for m in members for view in VIEWS}
    temperatures = [1.0] * len(members)
    return None, build_spec(manifest, members, weights=weights, temperatures=temperatures)


def _refuse_other_classes(layout: Layout, spec: EnsembleSpec) -> None:
    """Without a template nothing else would tell that the champion is of another competition."""
    prepared = next((run for run in prepared_runs() if run.root == layout.root), None)
    if prepared is not None and prepared.manifest().classes != spec.classes:
        raise DataError(
            f"the ensemble in use is of other classes than {layout.root} was prepared with; "
            "tune on this data first: mlflow run . -e tune"
        )


def _predict(
    config: Config, spec: EnsembleSpec, photos: TestPhotos
) -> tuple[list[NDArray[np.float64]], FoldMixtures]:
    """Each member's probabilities for its active views, ``[views, images, classes]``.

    Beside them the ensemble's mixture of each fold that all members have.
    """
    # Here, and not where models predict in somebody else's process.
    keep_freed_memory(resolve_device(config.device))
    versions = [member_version(member.registered_model, member.version) for member in spec.members]
    common = set.intersection(*(set(version.folds) for version in versions))
    folds = FoldMixtures(spec.mixing, sorted(common))
    members = []
    for member, version in zip(spec.members, versions, strict=True):
        # One member's weights at a time: together they are tens of gigabytes.
        with scratch_folder() as folder:
            bundle = version.fetch(folder)
            if bundle.classes != spec.classes:
                raise TrackingError(
                    f"{version.name} version {version.version} is of other classes than the "
                    "ensemble; tune again: mlflow run . -e tune"
                )
            total = len(photos.paths) * len(member.active_views) * len(bundle.folds)
            weights = np.array([member.weights[view] for view in member.active_views])
            with progress(f"predicting with {member.preset}", total) as predicted:
                engine = Engine.of(config, predicted)
                temperatures = member.active_temperatures
                keep = partial(folds.add, weights)
                members.append(predict_member(bundle, photos.paths, temperatures, engine, keep))
    return members, folds


def _log_predictions(
    spec: EnsembleSpec, photos: TestPhotos, members: Sequence[NDArray[np.floating]]
) -> None:
    """Keep each member's test predictions, in the format of the out-of-fold ones."""
    index = pd.DataFrame({"image_id": photos.ids, "class_index": -1, "fold": 0})
    with scratch_folder() as folder:
        for member, probabilities in zip(spec.members, members, strict=True):
            log_p = np.log(np.maximum(probabilities, SMALLEST)).astype(np.float32)
            predictions = Predictions(index, member.active_views, log_p)
            write_predictions(folder / member.preset, predictions)
        mlflow.log_artifacts(str(folder), "predictions")


def _nested_score(tuned: EnsembleSpec, used: EnsembleSpec) -> float | None:
    """The honest out-of-fold score; ``tta_steps`` may have made another ensemble of it."""
    same = used == tuned.with_views(VIEWS)
    return tuned.score.nested if tuned.score is not None and same else None


def _show_scores(
    spec: EnsembleSpec,
    expected: float | None,
    template: Template,
    photos: TestPhotos,
    members: Sequence[NDArray[np.floating]],
    submission: pd.DataFrame,
    answers: Sequence[str],
) -> Truth:
    """The true scores: of each member's original view, and of the submission as it was written."""
    labels = dict(zip(template.ids, _class_names(answers, spec.classes), strict=True))
    answers = _one_column_a_class(answers, template, spec.classes)
    rows: list[tuple[str, float | None, float, float]] = []
    for member, probabilities in zip(spec.members, members, strict=True):
        if VIEWS[0] in member.active_views:
            alone = probabilities[member.active_views.index(VIEWS[0])]
            table = build_submission(template, spec.classes, photos.ids, alone)
            version = member_version(member.registered_model, member.version)
            scores = _score(table, answers)
            rows.append((f"{member.preset}, no TTA", version.oof_log_loss, *scores))
    log_loss, accuracy = _score(submission, answers)
    rows.append(("ensemble", expected, log_loss, accuracy))
    show_test_scores(f"True scores of {len(answers):,} test photos", rows)
    mlflow.log_metrics({"test/log_loss": log_loss, "test/accuracy": accuracy})
    return Truth(log_loss, accuracy, labels)


def _class_names(answers: Sequence[str], classes: ClassMap) -> list[str]:
    """The merged class of each answer; one that is not known keeps its name."""
    class_of = classes.index_by_folder()
    return [
        classes.names[class_of[label]] if label in class_of else label
        for label in map(nfc, answers)
    ]


def _one_column_a_class(answers: Sequence[str], template: Template, classes: ClassMap) -> list[str]:
    """The answers under one name for each merged class.

    The competition scores one column of a pair; answers made from folder names may use both.
    """
    class_of = classes.index_by_folder()
    columns: dict[int, str] = {}
    for column in map(nfc, template.columns):
        if column in class_of:
            columns.setdefault(class_of[column], column)
    return [columns[class_of[label]] if label in class_of else label for label in map(nfc, answers)]


def _score(submission: pd.DataFrame, answers: Sequence[str]) -> tuple[float, float]:
    """Log loss and accuracy; a merged class's columns are equal, so any of them is right."""
    probabilities = submission.drop(columns="ID").rename(columns=nfc)
    best = probabilities.max(axis=1).to_numpy()
    rows = np.arange(len(answers))
    chosen = probabilities.to_numpy()[rows, probabilities.columns.get_indexer(pd.Index(answers))]
    return competition_log_loss(answers, probabilities), float((chosen == best).mean())

"""The true scores of a submission, where the answers of the test photos are known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from carvision.contracts import VIEWS, ClassMap, EnsembleSpec, nfc
from carvision.data.submission import Template, build_submission, class_columns
from carvision.metrics import competition_log_loss
from carvision.pipelines.ensemble.input_checks import SubmissionInput
from carvision.pipelines.ensemble.prediction import EnsemblePredictions
from carvision.reporting.forecast_page import TrueScores
from carvision.reporting.tables import show_test_scores
from carvision.tracking.outbox.record import log_metrics


def nested_score(tuned: EnsembleSpec, used: EnsembleSpec) -> float | None:
    """The nested log loss of the ensemble ``used``; None if it is not known.

    It is unknown if it was not computed, or if ``tta_steps`` leaves out views of ``tuned``.
    """
    same = used == tuned.with_views(VIEWS)
    return tuned.score.nested if tuned.score is not None and same else None


def show_scores(
    predicted: EnsemblePredictions,
    given: SubmissionInput,
    submission: pd.DataFrame,
    out_of_fold: Sequence[float | None],
) -> TrueScores | None:
    """Print and log the true scores: of each member's original view, and of the submission.

    ``out_of_fold`` holds the log losses to print beside them: the ensemble's nested one first, then
    each member's. None where there are no answers.
    """
    if given.answers is None:
        return None
    spec, template = predicted.spec, given.template
    answers = _one_column_a_class(given.answers, template, spec.classes)
    expected, *of_members = out_of_fold
    rows: list[tuple[str, float | None, float, float]] = []
    for member, probabilities, own in zip(spec.members, predicted.members, of_members, strict=True):
        if VIEWS[0] in member.active_views:
            alone = probabilities[member.active_views.index(VIEWS[0])]
            table = build_submission(template, spec.classes, given.photos.ids, alone)
            rows.append((f"{member.preset}, no TTA", own, *_score(table, answers)))
    log_loss, accuracy = _score(submission, answers)
    rows.append(("ensemble", expected, log_loss, accuracy))
    show_test_scores(f"True scores of {len(answers):,} test photos", rows)
    log_metrics({"test/log_loss": log_loss, "test/accuracy": accuracy})
    labels = dict(zip(template.ids, _class_names(given.answers, spec.classes), strict=True))
    return TrueScores(log_loss, accuracy, labels)


def _class_names(answers: Sequence[str], classes: ClassMap) -> list[str]:
    """The merged class of each answer; an unknown answer stays as it is."""
    class_of = classes.index_by_folder()
    return [
        classes.names[class_of[label]] if label in class_of else label
        for label in map(nfc, answers)
    ]


def _one_column_a_class(answers: Sequence[str], template: Template, classes: ClassMap) -> list[str]:
    """The answers, each merged class by the name of its first column.

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
    probabilities = class_columns(submission).rename(columns=nfc)
    best = probabilities.max(axis=1).to_numpy()
    rows = np.arange(len(answers))
    chosen = probabilities.to_numpy()[rows, probabilities.columns.get_indexer(pd.Index(answers))]
    return competition_log_loss(answers, probabilities), float((chosen == best).mean())

"""The true scores of a submission, where the answers of the test photos are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from carvision.contracts import VIEWS, ClassMap, EnsembleSpec, nfc
from carvision.data.submission import Template, build_submission, class_columns
from carvision.metrics import competition_log_loss
from carvision.pipelines.ensemble.submission_input import TestInput
from carvision.reporting.forecast_page import Truth
from carvision.reporting.tables import show_test_scores
from carvision.tracking.outbox.record import log_metrics


@dataclass(frozen=True)
class Expected:
    """Log losses out of fold: the ensemble's nested one, if there is one, and each member's."""

    ensemble: float | None
    members: Sequence[float]


def show_scores(
    spec: EnsembleSpec,
    expected: Expected,
    given: TestInput,
    members: Sequence[NDArray[np.floating]],
    submission: pd.DataFrame,
) -> Truth | None:
    """The true scores: of each member's original view, and of the submission as it was written.

    ``expected`` is the score out of fold. None where there are no answers.
    """
    if given.answers is None:
        return None
    template = given.template
    labels = dict(zip(template.ids, _class_names(given.answers, spec.classes), strict=True))
    answers = _one_column_a_class(given.answers, template, spec.classes)
    rows: list[tuple[str, float | None, float, float]] = []
    own = zip(spec.members, members, expected.members, strict=True)
    for member, probabilities, out_of_fold in own:
        if VIEWS[0] in member.active_views:
            alone = probabilities[member.active_views.index(VIEWS[0])]
            table = build_submission(template, spec.classes, given.photos.ids, alone)
            scores = _score(table, answers)
            rows.append((f"{member.preset}, no TTA", out_of_fold, *scores))
    log_loss, accuracy = _score(submission, answers)
    rows.append(("ensemble", expected.ensemble, log_loss, accuracy))
    show_test_scores(f"True scores of {len(answers):,} test photos", rows)
    log_metrics({"test/log_loss": log_loss, "test/accuracy": accuracy})
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
    probabilities = class_columns(submission).rename(columns=nfc)
    best = probabilities.max(axis=1).to_numpy()
    rows = np.arange(len(answers))
    chosen = probabilities.to_numpy()[rows, probabilities.columns.get_indexer(pd.Index(answers))]
    return competition_log_loss(answers, probabilities), float((chosen == best).mean())

"""The scores of a submission by the answers."""

from pathlib import Path

import numpy as np
import pytest

from carvision.contracts import VIEWS, EnsembleSpec, Member, Score
from carvision.data.submission import Template, build_submission
from carvision.data.submission_listing import SubmissionPhotos
from carvision.ensembling.fold_averaging import FoldMixtures
from carvision.pipelines.ensemble import true_scores
from carvision.pipelines.ensemble.input_checks import SubmissionInput
from carvision.pipelines.ensemble.prediction import EnsemblePredictions
from carvision.pipelines.ensemble.true_scores import nested_score, show_scores

_SPEC = EnsembleSpec(
    members=tuple(
        Member(
            preset=name,
            registered_model=f"carvision-{name}",
            version=1,
            weights={view: 0.5},
            temperatures={view: 1.0},
        )
        for name, view in (("swin", "original"), ("lite", "hflip"))
    ),
    mixing="arithmetic",
    class_names=("K5", "RAV4"),
    class_folders=(("K5", "K5_Hybrid"), ("RAV4",)),
    score=Score(log_loss=0.2, nested=0.3, data="d", folds=(1,), images=9),
)
_TEMPLATE = Template(("a", "b"), ("RAV4", "K5_Hybrid", "K5"))
_SWIN = np.array([[[0.8, 0.2], [0.6, 0.4]]])
_LITE = np.array([[[0.6, 0.4], [0.2, 0.8]]])


def _given(answers: list[str] | None) -> SubmissionInput:
    photos = SubmissionPhotos(("a", "b"), (Path("a.jpg"), Path("b.jpg")))
    return SubmissionInput(photos, _TEMPLATE, answers, unreadable=None)  # type: ignore[arg-type]


def _predicted() -> EnsemblePredictions:
    return EnsemblePredictions(
        _SPEC, _given(None).photos, [_SWIN, _LITE], FoldMixtures("arithmetic", [1])
    )


def test_either_name_of_a_merged_class_is_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: dict[str, float] = {}
    monkeypatch.setattr(true_scores, "log_metrics", logged.update)
    predicted = _predicted()
    submission = build_submission(_TEMPLATE, _SPEC.classes, ("a", "b"), predicted.mixed)
    found = [
        show_scores(predicted, _given([answer, "RAV4"]), submission, [0.3, 0.4, None])
        for answer in ("K5", "K5_Hybrid")
    ]
    assert found[0] == found[1] is not None
    # The mixture is 0.7 and 0.3, then 0.4 and 0.6; one of the two columns of K5 is scored.
    expected = -(np.log(0.7) + np.log(0.6)) / 2
    assert found[0].log_loss == pytest.approx(expected)
    assert found[0].accuracy == 1.0
    assert found[0].labels == {"a": "K5", "b": "RAV4"}
    assert logged == {"test/log_loss": found[0].log_loss, "test/accuracy": 1.0}
    # A member whose original view has no weight has no row of its own.
    out = capsys.readouterr().out
    assert "swin, no TTA" in out and "0.4000" in out and "lite" not in out


def test_without_answers_there_is_no_score() -> None:
    assert show_scores(_predicted(), _given(None), None, []) is None  # type: ignore[arg-type]


def test_the_nested_score_is_of_the_ensemble_as_it_was_tuned() -> None:
    assert nested_score(_SPEC, _SPEC.with_views(VIEWS)) == 0.3
    # Fewer views are another ensemble, whose score nobody knows.
    assert nested_score(_SPEC, _SPEC.with_views(("original",))) is None
    unscored = _SPEC.model_copy(update={"score": None})
    assert nested_score(unscored, unscored.with_views(VIEWS)) is None

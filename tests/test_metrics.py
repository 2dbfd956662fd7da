"""The competition's log loss, and the validation metrics against other implementations of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from carvision.errors import DataError
from carvision.metrics import (
    CLIP,
    accuracy,
    competition_log_loss,
    entropy,
    expected_calibration_error,
    log_loss_of_true_class,
    true_class_column,
    validation_metrics,
)
from carvision.models.torchvision_import import ensure_torchvision


def _log_probabilities(images: int, classes: int, seed: int = 0, sharpness: float = 2.0):
    logits = np.random.default_rng(seed).normal(size=(images, classes)) * sharpness
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("answers", "columns", "expected"),
    [
        (["a", "b"], {"a": [0.5, 0.5], "b": [0.5, 0.5]}, np.log(2)),
        (["a", "b"], {"a": [0.8, 0.4], "b": [0.2, 0.6]}, -(np.log(0.8) + np.log(0.6)) / 2),
        # Rows are divided by their sums: 0.2 / 0.5 and 0.3 / 0.4.
        (["a", "b"], {"a": [0.2, 0.1], "b": [0.3, 0.3]}, -(np.log(0.4) + np.log(0.75)) / 2),
        # Clipped at both ends: a zero on the true class costs 34.5, a one next to nothing.
        (["a", "b"], {"a": [0.0, 0.0], "b": [1.0, 1.0]}, 34.538776394910684 / 2),
        # No position is taken for a class: the columns stand the other way round.
        (["a", "b"], {"b": [0.2, 0.6], "a": [0.8, 0.4]}, -(np.log(0.8) + np.log(0.6)) / 2),
        # Whole probabilities, as a CSV of zeros and ones reads.
        (["a", "b"], {"a": [1, 0], "b": [0, 1]}, 0.0),
    ],
)
def test_by_hand(answers, columns, expected):
    assert competition_log_loss(answers, pd.DataFrame(columns)) == pytest.approx(expected, abs=1e-9)


def test_uniform_over_the_competitions_classes():
    names = [f"c{i}" for i in range(396)]
    uniform = pd.DataFrame(np.full((396, 396), 1 / 396), columns=names)
    assert competition_log_loss(names, uniform) == pytest.approx(5.98, abs=0.005)


def test_agrees_with_scikit_learn():
    names = ["b", "B", "a", "다", "가"]
    answers = [*names, *np.random.default_rng(1).choice(names, 60)]
    probabilities = np.exp(_log_probabilities(len(answers), len(names)))
    submission = pd.DataFrame(probabilities, columns=names)
    expected = log_loss(answers, submission[sorted(names)].to_numpy(), labels=sorted(names))
    assert competition_log_loss(answers, submission) == pytest.approx(expected, rel=1e-12)


def test_normalises_before_it_clips():
    # Clipped first, 1e-20 would become 1e-15, and then a third of 3e-15: a loss of ln 3.
    tiny = pd.DataFrame({"a": [1e-20, 0.1], "b": [3e-20, 0.9]})
    expected = -(np.log(0.25) + np.log(0.9)) / 2
    assert competition_log_loss(["a", "b"], tiny) == pytest.approx(expected, rel=1e-12)


def test_clips_last():
    # Clipped first and then divided by 0.5, the zero would count as 2e-15.
    row = pd.DataFrame({"a": [0.0, 0.5], "b": [0.5, 0.0]})
    assert competition_log_loss(["a", "b"], row) == pytest.approx(-np.log(CLIP), rel=1e-12)
    assert competition_log_loss(["b", "a"], row) == -np.log(1 - CLIP)


def test_columns_that_no_answer_names_do_not_count():
    scored = pd.DataFrame({"a": [0.4, 0.1], "b": [0.1, 0.3]})
    more = scored.assign(unasked=[0.5, 7.0], empty=np.nan, ID=["x", "y"])
    assert competition_log_loss(["a", "b"], more) == competition_log_loss(["a", "b"], scored)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [0.5, 0.5]}, r"no column .*'b'"),
        ({"a": [0.5, np.nan], "b": [0.5, 0.5]}, "NaN"),
        ({"a": [0.5, 1.01], "b": [0.5, 0.5]}, r"outside \[0, 1\]"),
        ({"a": [0.5, -0.01], "b": [0.5, 0.5]}, r"outside \[0, 1\]"),
        ({"a": [0.5, np.inf], "b": [0.5, 0.5]}, r"outside \[0, 1\]"),
        ({"a": [0.5, 0.0], "b": [0.5, 0.0]}, "row 1 .* zero"),
        ({"a": [0.5], "b": [0.5]}, "2 answers for 1 rows"),
    ],
)
def test_refuses(columns, message):
    with pytest.raises(DataError, match=message):
        competition_log_loss(["a", "b"], pd.DataFrame(columns))


def test_refuses_no_answers():
    with pytest.raises(DataError, match="no answers"):
        competition_log_loss([], pd.DataFrame({"a": []}))


def test_leaves_the_submission_as_it_is():
    submission = pd.DataFrame({"a": [0.2, 0.0], "b": [0.3, 0.4]})
    before = submission.copy(deep=True)
    competition_log_loss(["a", "b"], submission)
    pd.testing.assert_frame_equal(submission, before)


def test_log_loss_of_the_true_class_is_clipped():
    assert log_loss_of_true_class(np.array([np.log(0.5), -np.inf])) == pytest.approx(
        (np.log(2) - np.log(CLIP)) / 2
    )


def test_log_loss_of_the_true_class_agrees_with_the_competitions():
    log_probabilities = _log_probabilities(40, 4)
    targets = np.arange(40) % 4
    answers = [f"c{target}" for target in targets]
    submission = pd.DataFrame(np.exp(log_probabilities), columns=[f"c{i}" for i in range(4)])
    assert log_loss_of_true_class(true_class_column(log_probabilities, targets)) == pytest.approx(
        competition_log_loss(answers, submission), rel=1e-12
    )


def test_true_class_column_of_several_views():
    values = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    expected = [[0, 5, 7, 9], [12, 17, 19, 21]]
    np.testing.assert_array_equal(true_class_column(values, np.array([0, 2, 1, 0])), expected)


@pytest.mark.parametrize("top", [1, 2, 5, 6])
def test_accuracy_agrees_with_scikit_learn(top):
    log_probabilities = _log_probabilities(300, 7, sharpness=1.0)
    targets = np.random.default_rng(3).integers(0, 7, 300)
    expected = top_k_accuracy_score(targets, log_probabilities, k=top, labels=range(7))
    assert accuracy(log_probabilities, targets, top) == pytest.approx(expected)
    if top == 1:
        expected = accuracy_score(targets, log_probabilities.argmax(axis=1))
        assert accuracy(log_probabilities, targets) == pytest.approx(expected)


@pytest.mark.parametrize("top", [3, 5])
def test_top_of_all_classes_is_everything(top):
    assert accuracy(_log_probabilities(10, 3), np.zeros(10, dtype=int), top) == 1.0


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calibration_error_agrees_with_torchmetrics(sharpness, dtype):
    ensure_torchvision()
    from torchmetrics.classification import MulticlassCalibrationError

    import carvision.models  # noqa: F401

    log_probabilities = _log_probabilities(500, 6, sharpness=sharpness).astype(dtype)
    targets = np.random.default_rng(5).integers(0, 6, 500)
    targets[:250] = log_probabilities[:250].argmax(axis=1)
    metric = MulticlassCalibrationError(num_classes=6, n_bins=15, norm="l1")
    expected = metric(torch.from_numpy(np.exp(log_probabilities)), torch.from_numpy(targets))
    assert expected_calibration_error(log_probabilities, targets) == pytest.approx(
        float(expected), abs=1e-6
    )


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [
        # Two photos in the bin of 0.9, one of them right; two in the bin of 0.6, both right.
        ([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1], (abs(1 - 1.8) + abs(2 - 1.2)) / 4),
        # Neighbouring bins do not make up for each other: 14/15 lies between.
        ([0.93, 0.94], [0, 1], (0.93 + 0.06) / 2),
        # Within a bin they do.
        ([0.94, 0.95], [0, 1], abs(1 - 1.89) / 2),
        ([1.0, 1.0], [1, 1], 0.0),
    ],
)
def test_calibration_error_by_hand(confidence, right, expected):
    probabilities = np.array([confidence, 1 - np.array(confidence)]).T
    log_probabilities = np.log(np.maximum(probabilities, CLIP))
    targets = 1 - np.array(right)
    assert expected_calibration_error(log_probabilities, targets) == pytest.approx(expected)


def test_validation_metrics_by_name():
    log_probabilities = _log_probabilities(50, 8)
    targets = np.arange(50) % 8
    metrics = validation_metrics(log_probabilities, targets)
    assert metrics == pytest.approx(
        {
            "val/log_loss": log_loss(targets, np.exp(log_probabilities)),
            "val/accuracy": accuracy(log_probabilities, targets, 1),
            "val/top5": accuracy(log_probabilities, targets, 5),
            "val/ece": expected_calibration_error(log_probabilities, targets),
        }
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_entropy_is_scipys_and_a_zero_adds_nothing(dtype):
    log_probabilities = _log_probabilities(20, 5).astype(dtype)
    expected = scipy_entropy(np.exp(log_probabilities), axis=1)
    assert entropy(log_probabilities) == pytest.approx(expected, rel=1e-5)
    sure = np.array([[0.0, -np.inf], [np.log(0.5), np.log(0.5)]], dtype=dtype)
    with np.errstate(all="raise", under="ignore"):
        assert entropy(sure) == pytest.approx([0, np.log(2)])

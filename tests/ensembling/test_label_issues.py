"""Confident learning, against known wrong labels and the paper's definition."""

import numpy as np
import pytest
from scipy.special import log_softmax

from carvision.ensembling.label_issues import (
    LabelJudgement,
    class_thresholds,
    suspicious_labels,
)
from carvision.errors import PredictionsError

_CLASSES = ("Niro", "RAV4", "K5", "Sorento", "라브4")


def _noisy(
    images: int = 1500, flipped: float = 0.04, signal: float = 5.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions of the true classes, the labels, and which labels were flipped."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, len(_CLASSES), images)
    logits = generator.normal(0, 1, (images, len(_CLASSES)))
    logits[np.arange(images), truth] += signal
    wrong = generator.random(images) < flipped
    move = generator.integers(1, len(_CLASSES), images)
    labels = np.where(wrong, (truth + move) % len(_CLASSES), truth)
    return log_softmax(logits, axis=1), labels, wrong


def _ids(images: int) -> list[str]:
    return [f"train/{i:04d}.jpg" for i in range(images)]


@pytest.mark.parametrize("seed", range(4))
def test_flipped_labels_are_found_with_few_false_alarms(seed: int) -> None:
    log_p, labels, wrong = _noisy(seed=seed)
    found = suspicious_labels(log_p, labels, _ids(1500), _CLASSES)
    rows = found["image_id"].str[6:10].astype(int).to_numpy()
    assert wrong[rows].sum() / wrong.sum() > 0.75
    assert wrong[rows].mean() > 0.75
    # The ranking puts the flipped ones first.
    assert wrong[rows[: wrong.sum() // 2]].mean() > 0.95


def test_models_that_err_often_do_not_accuse_clean_labels() -> None:
    log_p, labels, _ = _noisy(flipped=0.0, signal=3.0)
    mistakes = int((log_p.argmax(axis=1) != labels).sum())
    assert mistakes > 50
    assert len(suspicious_labels(log_p, labels, _ids(1500), _CLASSES)) < 0.35 * mistakes


def test_it_is_the_papers_confident_joint() -> None:
    log_p, labels, _ = _noisy(200, flipped=0.2, signal=2.0)
    p = np.exp(log_p)
    expected = []
    for i in range(200):
        sure = [j for j in range(5) if p[i, j] >= p[labels == j, j].mean()]
        if sure:
            best = max(sure, key=lambda j: p[i, j])
            if best != labels[i] and p[i, best] > p[i, labels[i]]:
                expected.append((p[i, labels[i]] - p[i, best], i, best))
    expected.sort()
    found = suspicious_labels(log_p, labels, _ids(200), _CLASSES)
    assert len(found) > 20
    assert found["image_id"].tolist() == [_ids(200)[i] for _, i, _ in expected]
    assert found["suggested"].tolist() == [_CLASSES[best] for *_, best in expected]
    np.testing.assert_allclose(found["margin"], [margin for margin, *_ in expected])
    assert (found["margin"] < 0).all()


def test_a_class_that_is_predicted_too_often_raises_no_alarm() -> None:
    # They give K5 a probability of 0.6 for every third photo of Niro, and more for photos of K5.
    p = np.full((60, 2), [0.9, 0.1])
    p[:30:3] = [0.4, 0.6]
    p[30:] = [0.05, 0.95]
    labels = np.repeat([0, 1], 30)
    assert suspicious_labels(np.log(p), labels, _ids(60), ("Niro", "K5")).empty
    # A photo of Niro with as high a probability of K5 as photos of K5 is suspicious.
    p[0] = [0.02, 0.98]
    found = suspicious_labels(np.log(p), labels, _ids(60), ("Niro", "K5"))
    assert found["image_id"].tolist() == ["train/0000.jpg"]
    assert found["reason"].tolist() == [
        "suspicious label: looks like K5 (0.980), labelled Niro (0.020)"
    ]


def test_a_class_without_photos_is_never_suggested() -> None:
    np.testing.assert_array_equal(
        class_thresholds(np.array([0.25, 0.5]), np.array([1, 1]), 3), [np.inf, 0.375, np.inf]
    )
    log_p = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]]))
    assert suspicious_labels(log_p, np.array([1, 1, 1]), _ids(3), ("Niro", "K5")).empty


def test_a_zero_probability_is_taken_and_arrays_stay_as_they_are() -> None:
    with np.errstate(divide="ignore"):
        log_p = np.log(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]))
    before = log_p.copy()
    found = suspicious_labels(log_p, np.array([0, 1, 0, 1]), _ids(4), ("Niro", "K5"))
    assert found["image_id"].tolist() == _ids(4)[2:]
    np.testing.assert_array_equal(log_p, before)


@pytest.mark.parametrize(
    ("shape", "targets", "ids"),
    [((3, 2), [0, 1], 2), ((2, 3), [0, 1], 2), ((2, 2), [0, 1], 3), ((2, 2), [0, 2], 2)],
)
def test_arrays_that_do_not_fit(shape: tuple[int, int], targets: list[int], ids: int) -> None:
    with pytest.raises(PredictionsError):
        suspicious_labels(np.zeros(shape), np.array(targets), _ids(ids), ("Niro", "K5"))


def test_nan_is_refused() -> None:
    with pytest.raises(PredictionsError, match="NaN"):
        suspicious_labels(np.array([[np.nan, 0.0]]), np.array([0]), ["a"], ("Niro", "K5"))


def _of_many_classes(skill: float, flipped: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """4,000 photos of 100 classes that come in pairs which look alike; the flipped labels."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 100, 4000)
    strength = np.maximum(0.05, skill + generator.normal(0, 1, (4000, 1)))
    logits = np.sqrt(strength) * generator.normal(0, 1, (4000, 100))
    logits[np.arange(4000), truth] += strength[:, 0]
    logits[np.arange(4000), truth ^ 1] += strength[:, 0] / 2
    wrong = generator.random(4000) < flipped
    labels = np.where(wrong, (truth + generator.integers(1, 100, 4000)) % 100, truth)
    return log_softmax(logits, axis=1), labels, wrong


@pytest.mark.parametrize(
    ("skill", "accuracy", "too_weak", "least_of_the_top"),
    [(4.0, 0.3, True, 0.0), (8.5, 0.58, True, 0.4), (24.0, 0.9, False, 0.95)],
)
def test_a_weak_model_is_no_judge_of_labels(
    skill: float, accuracy: float, too_weak: bool, least_of_the_top: float
) -> None:
    log_p, labels, wrong = _of_many_classes(skill, flipped=0.04)
    judgement = LabelJudgement.of(log_p, labels)
    assert judgement.accuracy == pytest.approx(accuracy, abs=0.05)
    assert judgement.too_weak is too_weak
    names = tuple(f"class {i}" for i in range(100))
    found = suspicious_labels(log_p, labels, _ids(4000), names)
    rows = found["image_id"].str[6:10].astype(int).to_numpy()
    # Hardly any of the labels that it contradicts is flipped.
    assert bool(wrong[rows].mean() < 0.2) is too_weak
    assert wrong[rows[:100]].mean() >= least_of_the_top


@pytest.mark.parametrize("flipped", [0.0, 0.05, 0.1])
def test_a_strong_model_estimates_how_many_labels_are_wrong(flipped: float) -> None:
    log_p, labels, wrong = _noisy(flipped=flipped, signal=9.0)
    judgement = LabelJudgement.of(log_p, labels)
    assert judgement.wrong == pytest.approx(wrong.mean(), abs=0.01)
    assert not judgement.too_weak


def test_the_estimate_is_the_papers_calibrated_joint() -> None:
    log_p, labels, _ = _noisy(200, flipped=0.2, signal=2.0)
    p = np.exp(log_p)
    joint = np.zeros((5, 5))
    for i in range(200):
        sure = [j for j in range(5) if p[i, j] >= p[labels == j, j].mean()]
        if sure:
            joint[labels[i], max(sure, key=lambda j: p[i, j])] += 1
    joint *= (np.bincount(labels) / joint.sum(axis=1))[:, None]
    expected = 1 - np.trace(joint) / joint.sum()
    assert LabelJudgement.of(log_p, labels).wrong == pytest.approx(expected)


def test_a_class_without_a_confident_photo_is_not_counted() -> None:
    log_p = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.55, 0.45]]))
    assert LabelJudgement.of(log_p, np.array([0, 0, 1])).wrong == 0.0

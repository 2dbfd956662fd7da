"""The gain of averaging over folds, against brute force and against known labels."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from carvision.ensembling.fold_averaging import FoldMixtures, TestFolds
from carvision.metrics import CLIP

_FOLDS, _VIEWS, _IMAGES, _CLASSES = 3, 2, 7, 4
#: [members, folds, views, images, classes]
_LOG_P = log_softmax(
    np.random.default_rng(0).normal(0, 2, (2, _FOLDS, _VIEWS, _IMAGES, _CLASSES)), axis=-1
)
_WEIGHTS = np.array([[0.1, 0.3], [0.6, 0.0]])


def _mixtures(mixing: str) -> FoldMixtures:
    folds = FoldMixtures(mixing, [1, 2, 3])
    for weights, member in zip(_WEIGHTS, _LOG_P, strict=True):
        # One member has a fold that the other lacks.
        for fold, log_p in zip([1, 2, 3, 4], [*member, member[0]], strict=True):
            folds.add(weights, fold, log_p)
    return folds


def test_each_folds_arithmetic_mixture() -> None:
    expected = np.einsum("mv,mfvic->fic", _WEIGHTS, np.exp(_LOG_P))
    found = _mixtures("arithmetic").log_probabilities(0, _IMAGES)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)


def test_each_folds_geometric_mixture() -> None:
    expected = softmax(np.einsum("mv,mfvic->fic", _WEIGHTS, _LOG_P), axis=-1)
    found = _mixtures("geometric").log_probabilities(2, 5)
    np.testing.assert_allclose(np.exp(found), expected[:, 2:5], rtol=1e-5)


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_some_of_the_images(mixing: str) -> None:
    chosen = np.array([True, False, True, True, False, False, True])
    found = _mixtures(mixing).images(chosen).log_probabilities(0, 4)
    expected = _mixtures(mixing).log_probabilities(0, _IMAGES)[:, chosen]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_zeros_are_clipped_as_the_competition_clips_them(mixing: str) -> None:
    folds = FoldMixtures(mixing, [1])
    with np.errstate(divide="ignore"):
        folds.add(np.ones(1), 1, np.log(np.array([[[1.0, 0.0]]])))
    found = folds.log_probabilities(0, 1)
    np.testing.assert_allclose(found[0, 0], [0, np.log(CLIP)], atol=1e-6)


def _test_folds(log_q: np.ndarray, submitted: np.ndarray) -> TestFolds:
    folds = FoldMixtures("arithmetic", range(len(log_q)))
    for fold, log_p in enumerate(log_q):
        folds.add(np.ones(1), fold, log_p[None])
    return TestFolds.of(folds, submitted)


def test_what_is_expected_of_one_fold_and_of_the_mean() -> None:
    log_q = _LOG_P[0, :, 0]
    submitted = np.exp(log_q).mean(axis=0)
    found = _test_folds(log_q, submitted)
    np.testing.assert_allclose(found.confidence, np.exp(log_q).max(axis=2), rtol=1e-5)
    np.testing.assert_allclose(found.entropy, entropy(np.exp(log_q), axis=2), rtol=1e-5)
    # The seventeenth temperature is one: the labels follow the geometric mean itself.
    labels = softmax(log_q.mean(axis=0), axis=1)
    single = -(labels * log_q).sum(axis=2).mean()
    loss = -(labels * np.log(submitted)).sum(axis=1).mean()
    assert found.single_loss[16] == pytest.approx(single, rel=1e-5)
    assert found.loss[16] == pytest.approx(loss, rel=1e-5)
    rows = np.arange(_IMAGES)
    right = [labels[rows, own.argmax(axis=1)].mean() for own in log_q]
    assert found.single_accuracy[16] == pytest.approx(np.mean(right), rel=1e-5)
    assert found.accuracy[16] == pytest.approx(labels[rows, submitted.argmax(axis=1)].mean())
    # Losses rise from sharp to blunt labels, and the gain is interpolated between them.
    assert (np.diff(found.single_loss) > 0).all()
    assert found.gain(np.array([single]))[0] == pytest.approx(single - loss, rel=1e-5)


def test_folds_that_agree_gain_nothing() -> None:
    log_q = np.repeat(_LOG_P[0, :1, 0], 3, axis=0)
    found = _test_folds(log_q, np.exp(log_q[0]))
    np.testing.assert_allclose(found.gain(np.array([0.1, 1.0, 3.0])), 0, atol=1e-6)
    np.testing.assert_allclose(found.accuracy_gain(np.array([0.1, 1.0])), 0, atol=1e-6)


def test_many_images_are_summarised_like_few() -> None:
    """Images that are computed in several chunks, against two parts of them."""
    log_q = log_softmax(np.random.default_rng(2).normal(0, 2, (2, 9000, 3)), axis=2)
    submitted = np.exp(log_q).mean(axis=0)
    whole = _test_folds(log_q, submitted)
    parts = [
        _test_folds(log_q[:, own], submitted[own]) for own in np.split(np.arange(9000), [4000])
    ]
    joined = np.concatenate([part.confidence for part in parts], axis=1)
    np.testing.assert_array_equal(whole.confidence, joined)
    expected = (4000 * parts[0].loss + 5000 * parts[1].loss) / 9000
    np.testing.assert_allclose(whole.loss, expected)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_the_gain_is_the_true_one(noise: float, temperature: float) -> None:
    generator = np.random.default_rng(1)
    images, classes = 6000, 8
    truth = generator.integers(0, classes, images)
    evidence = generator.normal(0, 1, (images, classes))
    evidence[np.arange(images), truth] += 2.2
    log_q = log_softmax(
        (2.2 * evidence + generator.normal(0, noise, (5, images, classes))) / temperature, axis=2
    )
    submitted = np.exp(log_q).mean(axis=0)
    single = -log_q[:, np.arange(images), truth].mean()
    true_gain = single + np.log(submitted[np.arange(images), truth]).mean()
    found = _test_folds(log_q, submitted)
    assert found.gain(np.array([single]))[0] == pytest.approx(true_gain, rel=0.05)
    right = (submitted.argmax(axis=1) == truth).mean() - (log_q.argmax(axis=2) == truth).mean()
    assert found.accuracy_gain(np.array([single]))[0] == pytest.approx(right, abs=0.012)

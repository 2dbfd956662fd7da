"""The forecast, against simulated tests whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from carvision.contracts import EnsembleOof
from carvision.ensembling.fold_averaging import FoldMixtures, TestFolds
from carvision.ensembling.forecast import Forecast, forecast_score

_FOLDS, _CLASSES = 4, 6


#: Models with accuracies of 78, 97 and 50 %, and some that are far too confident.
_WORLDS = {
    "usual": {},
    "sharp": {"skill": 4.0, "temperature": 0.7},
    "weak": {"skill": 1.2},
    "too sure": {"temperature": 0.4},
}


def _photos(
    generator: np.random.Generator,
    images: int,
    signal: tuple[float, float] = (0.5, 1.5),
    skill: float = 2.2,
    temperature: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """True classes, and log-probabilities by each fold's models ``[folds, images, classes]``."""
    truth = generator.integers(0, _CLASSES, images)
    strength = skill * generator.uniform(*signal, (images, 1))
    evidence = generator.normal(0, 1, (images, _CLASSES))
    evidence[np.arange(images), truth] += strength[:, 0]
    noise = generator.normal(0, 1, (_FOLDS, images, _CLASSES))
    return truth, log_softmax((strength * evidence + noise) / temperature, axis=2)


def _oof(truth: np.ndarray, log_q: np.ndarray, copies: int = 1, optimism: float = 0.0):
    rows = np.arange(len(truth))
    own = np.repeat(log_q[rows % _FOLDS, rows], copies, axis=0)
    truth = np.repeat(truth, copies)
    index = pd.DataFrame(
        {
            "image_id": np.arange(len(truth)).astype(str),
            "group": np.repeat(rows, copies).astype(str),
            "fold": 1 + np.repeat(rows, copies) % _FOLDS,
            "class_index": truth,
        }
    )
    losses = -own[np.arange(len(truth)), truth]
    return EnsembleOof.of(index, own, losses, optimism, {}, own.argmax(axis=1))


def _test(log_q: np.ndarray) -> tuple[TestFolds, np.ndarray]:
    folds = FoldMixtures("arithmetic", range(len(log_q)))
    for fold, own in enumerate(log_q):
        folds.add(np.ones(1), fold, own[None])
    submitted = np.exp(log_q).mean(axis=0)
    return TestFolds.of(folds, submitted), submitted


def _simulated(seed: int, **test: object) -> tuple[Forecast, float, float]:
    """A forecast, and the true log loss and accuracy."""
    generator = np.random.default_rng(seed)
    oof = _oof(*_photos(generator, 500))
    truth, log_q = _photos(generator, 250, **test)  # type: ignore[arg-type]
    folds, submitted = _test(log_q)
    true_loss = -np.log(submitted[np.arange(250), truth]).mean()
    return forecast_score(oof, folds, seed), true_loss, (submitted.argmax(axis=1) == truth).mean()


@pytest.fixture(scope="module")
def simulations() -> list[tuple[Forecast, float, float]]:
    return [_simulated(seed) for seed in range(100)]


def test_the_truth_lies_within_the_interval_nine_times_of_ten(
    simulations: list[tuple[Forecast, float, float]],
) -> None:
    # Of 100 draws with 0.9 each, fewer than 82 or more than 97 are one in a hundred.
    within = [found.low <= loss <= found.high for found, loss, _ in simulations]
    assert 82 <= sum(within) <= 97
    within = [found.accuracy_low <= acc <= found.accuracy_high for found, _, acc in simulations]
    assert 82 <= sum(within) <= 98


def test_the_forecast_is_right_on_average(
    simulations: list[tuple[Forecast, float, float]],
) -> None:
    losses = np.array([(found.log_loss, loss) for found, loss, _ in simulations])
    error = losses[:, 0] - losses[:, 1]
    assert abs(error.mean()) < 3 * error.std() / 10
    # The out-of-fold loss alone would be far off.
    plain = np.mean([found.oof_log_loss for found, *_ in simulations])
    assert plain - losses[:, 1].mean() > 6 * error.std() / 10
    for name in ("accuracy", "reweighted_accuracy"):
        right = np.array([getattr(found, name) - acc for found, _, acc in simulations])
        assert abs(right.mean()) < 0.01


def test_similar_photos_give_no_warning(
    simulations: list[tuple[Forecast, float, float]],
) -> None:
    assert sum(found.shift.warning is not None for found, *_ in simulations) <= 2


def test_harder_photos_give_a_warning_and_a_higher_loss() -> None:
    for seed in range(5):
        harder, _, accuracy = _simulated(seed, signal=(0.2, 0.6))
        assert harder.shift.warning is not None
        assert "less sure of them" in harder.shift.warning
        assert harder.reweighted > harder.oof_log_loss + 0.1
        assert harder.accuracy == pytest.approx(accuracy, abs=0.1)
    easier, *_ = _simulated(0, signal=(1.4, 2.0))
    assert easier.shift.warning is not None and "more sure" in easier.shift.warning


def test_another_share_of_hard_photos_is_compensated() -> None:
    generator = np.random.default_rng(3)
    truth, log_q = _photos(generator, 6000)
    oof = _oof(truth[:3000], log_q[:, :3000])
    # Most photos with a high confidence are removed.
    rest = np.arange(3000, 6000)
    sure = np.exp(log_q[0, rest].max(axis=1)) > 0.9
    kept = rest[~sure | (generator.random(3000) < 0.2)]
    folds, submitted = _test(log_q[:, kept])
    found = forecast_score(oof, folds, 0)
    true_loss = -np.log(submitted[np.arange(len(kept)), truth[kept]]).mean()
    single = -log_q[:, kept, truth[kept]].mean()
    assert found.reweighted == pytest.approx(single, rel=0.05)
    assert found.low < true_loss < found.high
    assert found.oof_log_loss < 0.85 * single


def test_the_optimism_of_choosing_epochs_is_added() -> None:
    generator = np.random.default_rng(0)
    photos, (_, log_q) = _photos(generator, 400), _photos(generator, 200)
    folds, _ = _test(log_q)
    plain = forecast_score(_oof(*photos), folds, 0)
    added = forecast_score(_oof(*photos, optimism=0.05), folds, 0)
    assert added.reweighted == plain.reweighted
    # Worse single models gain more by averaging, so the loss rises by less.
    assert 0.03 < added.log_loss - plain.log_loss < 0.05


def test_copies_are_one_observation() -> None:
    generator = np.random.default_rng(0)
    photos, (_, log_q) = _photos(generator, 200), _photos(generator, 5000)
    folds, _ = _test(log_q)
    once = forecast_score(_oof(*photos), folds, 0)
    copied = forecast_score(_oof(*photos, copies=5), folds, 0)
    assert copied.log_loss == pytest.approx(once.log_loss, abs=0.02)
    assert copied.high - copied.low > 0.85 * (once.high - once.low)


def test_a_small_test_is_a_matter_of_luck() -> None:
    generator = np.random.default_rng(0)
    photos, (_, log_q) = _photos(generator, 2000), _photos(generator, 4000)
    large = forecast_score(_oof(*photos), _test(log_q)[0], 0)
    small = forecast_score(_oof(*photos), _test(log_q[:, :40])[0], 0)
    assert small.high - small.low > 4 * (large.high - large.low)
    assert small.accuracy_high - small.accuracy_low > 4 * (large.accuracy_high - large.accuracy_low)


@pytest.mark.parametrize("images", [1, 2, 15])
def test_few_photos_are_enough_for_numbers(images: int) -> None:
    generator = np.random.default_rng(0)
    found = forecast_score(
        _oof(*_photos(generator, images)), _test(_photos(generator, images)[1])[0], 0
    )
    numbers = [found.low, found.log_loss, found.high, found.accuracy_low, found.accuracy_high]
    assert np.isfinite(numbers).all()
    assert 0 <= found.accuracy_low <= found.accuracy_high <= 1


def test_perfect_predictions() -> None:
    truth = np.zeros(50, dtype=int)
    with np.errstate(divide="ignore"):
        log_q = np.log(np.tile(np.eye(_CLASSES)[0], (_FOLDS, 50, 1)))
    found = forecast_score(_oof(truth, log_q), _test(log_q)[0], 0)
    assert (found.log_loss, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-9)
    assert found.accuracy == found.reweighted_accuracy == 1
    assert found.shift.warning is None


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("world", _WORLDS)
def test_the_same_photos_move_nothing(world: str, copies: int) -> None:
    """The test photos are the out-of-fold photos, predicted by their own fold's models alone."""
    truth, log_q = _photos(np.random.default_rng(0), 301, **_WORLDS[world])
    rows = np.arange(301)
    own = np.repeat(log_q[rows % _FOLDS, rows], copies, axis=0)
    oof = _oof(truth, log_q, copies, optimism=0.01)
    found = forecast_score(oof, _test(own[None])[0], 0)
    assert found.reweighted == pytest.approx(found.oof_log_loss, rel=1e-6)
    assert found.averaging_gain == pytest.approx(0, abs=1e-6)
    assert found.log_loss == pytest.approx(found.oof_log_loss + 0.01, abs=1e-5)
    right = (oof.photos["predicted"] == oof.photos["class_index"]).mean()
    assert (found.accuracy, found.reweighted_accuracy) == pytest.approx((right, right), abs=1e-5)
    assert found.warning is None


def test_confidence_is_compared_with_the_submitted_ensembles() -> None:
    """The losses and classes are those of the nested searches, which chose other temperatures."""
    truth, log_q = _photos(np.random.default_rng(0), 300)
    own = log_q[np.arange(300) % _FOLDS, np.arange(300)]
    judges = log_softmax(own / 2.5, axis=1)
    judges[:30] = judges[:30][:, ::-1]
    losses, classes = -judges[np.arange(300), truth], judges.argmax(axis=1)
    index = _oof(truth, log_q).photos
    oof = EnsembleOof.of(index, own, losses, 0.0, {}, classes)
    found = forecast_score(oof, _test(own[None])[0], 0)
    assert found.warning is None
    assert found.log_loss == pytest.approx(losses.mean(), abs=1e-5)
    assert found.accuracy == pytest.approx((classes == truth).mean(), abs=1e-5)
    # With the confidence that earlier versions kept, the other temperature looks like a shift.
    index = EnsembleOof.of(index, judges, losses, 0.0, {}, classes).photos
    mistaken = forecast_score(EnsembleOof(index, 0.0, {}), _test(own[None])[0], 0)
    assert mistaken.warning is not None
    # Therefore it is compared with nothing, and a warning says so.
    earlier = forecast_score(
        EnsembleOof(index, 0.0, {}, of_submitted=False), _test(own[None])[0], 0
    )
    assert earlier.shift is None
    assert earlier.reweighted == pytest.approx(earlier.oof_log_loss)
    assert earlier.warning is not None and "tune again: mlflow run . -e tune" in earlier.warning


@pytest.mark.parametrize(("world", "splits"), [("sharp", 100), ("too sure", 40)])
def test_of_a_hundred_alike_splits_at_most_five_warn(world: str, splits: int) -> None:
    generator = np.random.default_rng(0)
    truth, log_q = _photos(generator, 300, **_WORLDS[world])
    warned = 0
    for _ in range(splits):
        order = generator.permutation(300)
        known, asked = order[:200], order[200:]
        oof = _oof(truth[known], log_q[:, known])
        warned += forecast_score(oof, _test(log_q[:, asked])[0], 0).warning is not None
    assert warned <= 0.05 * splits


@pytest.mark.parametrize("images", [40, 400])
def test_darker_photos_give_a_warning_and_a_higher_loss(images: int) -> None:
    generator = np.random.default_rng(0)
    light = _photos(generator, 500, signal=(1.2, 1.8))
    truth, dark = _photos(generator, images, signal=(0.4, 0.8))
    folds, submitted = _test(dark)
    found = forecast_score(_oof(*light), folds, 0)
    assert found.shift is not None and found.warning is not None
    assert found.shift.oof_confidence > 0.88 and found.shift.test_confidence < 0.62
    assert found.reweighted > 2 * found.oof_log_loss
    assert found.accuracy == pytest.approx((submitted.argmax(axis=1) == truth).mean(), abs=0.12)


@pytest.mark.parametrize("world", ["usual", "sharp"])
def test_three_photos_are_a_matter_of_luck(world: str) -> None:
    inside = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        oof = _oof(*_photos(generator, 300, **_WORLDS[world]))
        truth, log_q = _photos(generator, 3, **_WORLDS[world])
        folds, submitted = _test(log_q)
        found = forecast_score(oof, folds, seed)
        assert found.accuracy_high - found.accuracy_low > 0.3
        assert found.high > found.low
        loss = -np.log(submitted[np.arange(3), truth]).mean()
        right = (submitted.argmax(axis=1) == truth).mean()
        inside.append(
            (
                found.low <= loss <= found.high,
                found.accuracy_low - 1e-9 <= right <= found.accuracy_high + 1e-9,
            )
        )
    # Of 40 draws with 0.9 each, fewer than 31 are one in a hundred.
    assert (np.sum(inside, axis=0) >= 31).all()

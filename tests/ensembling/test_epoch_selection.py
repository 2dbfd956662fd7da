"""The optimism of choosing the best epoch, against simulations in which it is known."""

import numpy as np
import pytest

from carvision.ensembling.epoch_selection import selection_optimism
from carvision.errors import PredictionsError

_PHOTOS = 400


def _epochs(
    generator: np.random.Generator, gaps: np.ndarray, photos: int, noise: float
) -> np.ndarray:
    """Losses of epochs that are worse than the best by ``gaps``, with common and own noise."""
    difficulty = generator.gamma(2.0, 0.5, photos)
    own = generator.normal(0, noise, (len(gaps), photos))
    return -(2 + difficulty + gaps[:, None] + own)


def _true_optimism(gaps: np.ndarray, photos: int, noise: float) -> float:
    """The mean of the chosen epoch's expected loss minus its loss on the photos of the choice."""
    generator = np.random.default_rng(99)
    means = gaps + generator.normal(0, noise / np.sqrt(photos), (20000, len(gaps)))
    chosen = means.argmin(axis=1)
    return float((gaps[chosen] - means.min(axis=1)).mean())


def _estimates(gaps: np.ndarray, noise: float, sets: int = 60) -> np.ndarray:
    generator = np.random.default_rng(5)
    found = []
    for seed in range(sets):
        folds = [_epochs(generator, gaps, _PHOTOS, noise) for _ in range(2)]
        found.append(selection_optimism(folds, [np.arange(_PHOTOS)] * 2, [0.5, 0.5], seed))
    return np.array(found)


@pytest.mark.parametrize("epochs", [2, 8])
def test_epochs_as_good_as_each_other(epochs: int) -> None:
    gaps = np.zeros(epochs)
    found = _estimates(gaps, 0.5)
    truth = _true_optimism(gaps, _PHOTOS, 0.5)
    assert found.mean() == pytest.approx(truth, abs=3 * found.std() / np.sqrt(len(found)))
    # The optimism is large enough for the comparison above to mean something.
    assert 3 * found.std() / np.sqrt(len(found)) < 0.25 * truth


def test_where_epochs_differ_the_estimate_is_slightly_too_high() -> None:
    gaps = np.array([0.0, 0.5 / np.sqrt(_PHOTOS) * np.sqrt(2)])
    found, truth = _estimates(gaps, 0.5, 200), _true_optimism(gaps, _PHOTOS, 0.5)
    assert truth < found.mean() < 1.6 * truth


def test_a_clear_best_epoch_has_no_optimism() -> None:
    assert _estimates(np.array([0.0, 1.0, 2.0]), 0.5, 3) == pytest.approx(0, abs=1e-6)


def test_copies_are_not_split() -> None:
    generator = np.random.default_rng(0)
    unique = _epochs(generator, np.zeros(6), 100, 0.5)
    copies = np.repeat(unique, 4, axis=1)
    together = selection_optimism([copies], [np.repeat(np.arange(100), 4)], [1], 0)
    assert together == pytest.approx(selection_optimism([unique], [np.arange(100)], [1], 0))
    # Halves with copies of the same photos would share their noise.
    assert selection_optimism([copies], [np.arange(400)], [1], 0) < 0.7 * together


def test_large_and_small_folds_count_by_their_photos() -> None:
    generator = np.random.default_rng(1)
    noisy = _epochs(generator, np.zeros(6), 100, 0.5)
    alone = selection_optimism([noisy], [np.arange(100)], [1], 3)
    still = np.zeros((6, 300))
    both = selection_optimism([noisy, still], [np.arange(100), np.arange(300)], [1, 1], 3)
    assert both == pytest.approx(alone / 4)


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1.0), (0.25, 0.25), (0.0, 0.0)])
def test_a_member_counts_by_its_weight(share: float, expected: float) -> None:
    noisy = _epochs(np.random.default_rng(1), np.zeros(6), 100, 0.5)
    alone = selection_optimism([noisy], [np.arange(100)], [1], 3)
    both = selection_optimism(
        [noisy, np.zeros((6, 100))], [np.arange(100)] * 2, [share, 1 - share], 3
    )
    assert both == pytest.approx(alone * expected)


@pytest.mark.parametrize(
    ("epochs", "groups"),
    [
        ([], []),
        ([np.log(np.full((1, 8), 0.5))], [np.arange(8)]),
        ([np.random.default_rng(0).normal(-3, 1, (4, 8))], [np.zeros(8)]),
    ],
)
def test_without_a_choice_there_is_no_optimism(
    epochs: list[np.ndarray], groups: list[np.ndarray]
) -> None:
    assert selection_optimism(epochs, groups, [1.0] * len(epochs), 0) == 0


def test_text_groups_and_zero_probabilities_are_taken() -> None:
    log_p = np.array([[-np.inf, -1, -1], [-1, -1, -np.inf]])
    found = selection_optimism([log_p], [np.array(["a", "b", "c"])], [1], 0)
    assert np.isfinite(found) and found > 0


@pytest.mark.parametrize(
    ("shape", "groups"), [((2, 5), [np.arange(4)]), ((5,), [np.arange(5)]), ((2, 5), [])]
)
def test_arrays_that_do_not_fit(shape: tuple[int, ...], groups: list[np.ndarray]) -> None:
    with pytest.raises(PredictionsError):
        selection_optimism([np.zeros(shape)], groups, [1], 0)

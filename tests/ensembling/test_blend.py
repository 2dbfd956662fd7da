"""Blends: mixing, shrinkage, admission, and cross-fitting that never sees what it scores."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.oof_predictions import BLOCK
from carvision.ensembling.temperature_grid import TemperatureGrid
from tests.ensembling.conftest import (
    everything,
    folds_of,
    mixed_by_formula,
    scorer_of,
    with_a_zero,
)
from tests.ensembling.synthetic import SyntheticMembers


def _truths(scorer: Scorer, log_p: np.ndarray) -> np.ndarray:
    return log_p[everything(scorer), scorer.table.targets]


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.7, 1.6)])
def test_a_mixture_is_what_its_formula_says(
    mixing: str, temperatures: tuple[float, float], scorer: Scorer
) -> None:
    rows = everything(scorer)
    weights = np.array([0.4, 0.1, 0.0, 0.3, 0.2, 0.0])
    blend = replace(Blend.plain(scorer.table, "equal"), mixing=mixing, temperatures=temperatures)
    stored = np.stack([scorer.table.read(k, rows) for k in range(6)])
    each = np.array(temperatures)[scorer.table.member_of]
    found = scorer.log_probabilities(blend, weights, rows)
    expected = mixed_by_formula(stored[:, None], weights, each, mixing)
    np.testing.assert_allclose(np.exp(found), expected, atol=1e-5)


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.7, 1.6)])
def test_the_score_of_the_true_class_is_that_of_the_whole_mixture(
    mixing: str, temperatures: tuple[float, float], scorer: Scorer
) -> None:
    """Apart from temperatures, which are interpolated for an arithmetic mixture."""
    rows = everything(scorer)
    blend = replace(Blend.plain(scorer.table, "greedy"), mixing=mixing, temperatures=temperatures)
    whole = scorer.log_probabilities(blend, scorer.weights(blend, rows), rows)
    np.testing.assert_allclose(scorer.fitted(blend, rows), _truths(scorer, whole), atol=0.02)


def test_shrinkage_moves_towards_equal_over_what_is_used(scorer: Scorer) -> None:
    rows, plain = everything(scorer), Blend.plain(scorer.table, "exact")
    exact = scorer.weights(plain, rows)
    used = exact > 0
    assert 1 < used.sum() < 6
    for shrinkage in (0.25, 1.0):
        found = scorer.weights(replace(plain, shrinkage=shrinkage), rows)
        expected = (1 - shrinkage) * exact + shrinkage * used / used.sum()
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_what_is_not_admitted_has_no_weight(scorer: Scorer) -> None:
    admitted = (False, True, False, True, False, True)
    for rule in ("exact", "equal", "greedy", "best"):
        blend = replace(Blend.plain(scorer.table, rule), admitted=admitted)
        weights = scorer.weights(blend, everything(scorer))
        assert (weights[~np.array(admitted)] == 0).all()
        assert weights.sum() == pytest.approx(1)


def test_a_view_that_hurts_gets_no_weight(scorer: Scorer) -> None:
    weights = scorer.weights(Blend.plain(scorer.table, "exact"), everything(scorer))
    views = [view for _, view in scorer.table.candidates]
    assert all((w == 0) == (view == "vflip") for w, view in zip(weights, views, strict=True))


@pytest.mark.parametrize("mixing", ["arithmetic", "geometric"])
def test_a_folds_weights_do_not_see_its_labels(mixing: str, scorer: Scorer) -> None:
    """Each fold is scored by the weights that the other folds alone give."""
    rows = everything(scorer)
    crossfit_folds = folds_of(scorer.table)
    blend = replace(Blend.plain(scorer.table, "exact"), mixing=mixing)
    found = scorer.cross_fitted(blend, rows, crossfit_folds)
    for part in np.unique(crossfit_folds):
        others, own = np.flatnonzero(crossfit_folds != part), np.flatnonzero(crossfit_folds == part)
        weights = scorer.weights(blend, others)
        expected = scorer.log_probabilities(blend, weights, own)
        truths = expected[np.arange(len(own)), scorer.table.targets[own]]
        np.testing.assert_allclose(found[own], truths, atol=1e-6)


def test_a_zero_on_the_truth_is_clipped() -> None:
    scorer = scorer_of(with_a_zero(SyntheticMembers(skills=(3.0,)).table()))
    rows = everything(scorer)
    found = scorer.fitted(Blend.plain(scorer.table, "exact"), rows)
    assert found.min() == pytest.approx(np.log(1e-15))
    assert np.isfinite(found).all()


def test_some_rows_alone(scorer: Scorer) -> None:
    blend = Blend.plain(scorer.table, "equal")
    some = np.array([399, 3, 77])
    whole = scorer.fitted(blend, everything(scorer))
    np.testing.assert_allclose(scorer.fitted(blend, some), whole[some])


def test_scorers_of_equal_tables_agree() -> None:
    first, second = (scorer_of(SyntheticMembers(seed=4).table()) for _ in range(2))
    blend = Blend.plain(first.table, "greedy")
    rows = everything(first)
    np.testing.assert_array_equal(first.fitted(blend, rows), second.fitted(blend, rows))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 4.0])
def test_many_candidates_are_mixed_block_by_block(temperature: float) -> None:
    views = ("original", "hflip", "vflip", "hvflip", "rot90")
    table = SyntheticMembers(
        photos=2500, classes=20, skills=(9.0,) * 6, views=views, view_shift=(0.0,) * 5
    ).table()
    scorer = Scorer(table, TemperatureGrid(table, np.empty(0, np.float32)))
    rows = np.random.default_rng(0).permutation(2500)
    weights = np.random.default_rng(1).dirichlet(np.ones(30))
    blend = replace(Blend.plain(table, "equal"), temperatures=(temperature,) * 6)
    tracemalloc.start()
    found = scorer.log_probabilities(blend, weights, rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A few blocks beside the result; all candidates of one block would be 30.
    block = BLOCK * 20 * 4
    assert peak - found.nbytes < 8 * block
    stored = np.stack([table.read(k, rows) for k in range(30)])
    expected = mixed_by_formula(stored[:, None], weights, np.full(30, temperature), "arithmetic")
    np.testing.assert_allclose(found, np.log(expected), atol=5e-6)
    assert found.max() <= 0

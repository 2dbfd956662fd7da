"""The nested score: no worse than the best member's, and unbiased for pure noise."""

from dataclasses import replace

import numpy as np
import pytest

from carvision.ensembling.blend import Blend
from carvision.metrics import log_loss_of_true_class
from tests.ensembling.conftest import everything, folds_of, scorer_of
from tests.ensembling.searches import (
    nested_log_p,
    searched,
)
from tests.ensembling.synthetic import SyntheticMembers


@pytest.mark.parametrize("seed", range(10))
def test_the_tuned_nested_score_is_no_worse_than_the_best_member(seed: int) -> None:
    """Ten problems with members of similar or different skill, sharpened or blurred."""
    generator = np.random.default_rng(seed)
    table = SyntheticMembers(
        photos=250,
        skills=tuple(generator.uniform(0.5, 4, 3)),
        temperatures=tuple(np.exp(generator.normal(0, 0.4, 3))),
        seed=seed,
    ).table()
    scorer = scorer_of(table)
    crossfit_folds = folds_of(table)
    nested = nested_log_p(scorer, crossfit_folds, trials=10)
    rows = everything(scorer)
    alone = [
        scorer.fitted(replace(Blend.plain(table, "equal"), admitted=tuple(mask)), rows)
        for mask in np.eye(len(table.candidates), dtype=bool).tolist()
    ]
    best = max(alone, key=lambda log_p: log_p.mean())
    noise = (nested - best).std() / np.sqrt(len(nested))
    assert -nested.mean() <= -best.mean() + 2 * noise


def test_the_nested_score_of_pure_noise_is_not_too_low() -> None:
    """Fitting finds a pattern in members without skill; the nested score shows none."""
    table = SyntheticMembers(photos=60, classes=3, skills=(0.05, 0.05, 0.05), seed=3).table()
    scorer = scorer_of(table)
    found = searched(scorer, 40)
    fitted = log_loss_of_true_class(scorer.fitted(found.best, everything(scorer)))
    nested = nested_log_p(scorer, folds_of(table), trials=15)
    assert fitted < found.value + 1e-9
    assert -nested.mean() > fitted

"""The study of blends: never above a rule, within a budget, honest in its nested score."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.blend_search import Found, affordable_starts, search, starts
from carvision.ensembling.bootstrap import bootstrap_interval
from carvision.ensembling.cross_fitting import assign_crossfit_folds
from carvision.ensembling.nested_score import nested_log_probabilities
from carvision.ensembling.rules import RULES
from carvision.errors import ConfigError
from carvision.metrics import log_loss_of_true_class
from tests.ensembling.conftest import MakeTable, everything, folds_of, scorer_of, with_a_zero


def _search(scorer: Scorer, trials: int = 20, **options: Any) -> Found:
    settings: dict[str, Any] = {"seed": 0} | options
    crossfit_folds = folds_of(scorer.table)
    return search(scorer, everything(scorer), crossfit_folds, trials=trials, **settings)


def _nested(scorer: Scorer, crossfit_folds: np.ndarray, **options: Any) -> np.ndarray:
    """The held-out log-probability of each truth."""
    log_p = nested_log_probabilities(scorer, crossfit_folds, **options)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-4)
    return log_p[everything(scorer), scorer.table.targets]


def _cross_fitted(scorer: Scorer, blend: Blend) -> float:
    crossfit_folds = folds_of(scorer.table)
    return log_loss_of_true_class(scorer.cross_fitted(blend, everything(scorer), crossfit_folds))


@pytest.mark.parametrize("trials", [1, 15])
def test_never_above_any_rule_however_few_trials(scorer: Scorer, trials: int) -> None:
    found = _search(scorer, trials)
    for rule in RULES:
        assert found.cross_fitted <= _cross_fitted(scorer, Blend.plain(scorer.table, rule)) + 1e-12
    assert found.trials >= len(starts(scorer, everything(scorer)))


def test_the_blend_has_the_value_that_is_told(scorer: Scorer) -> None:
    found = _search(scorer)
    assert _cross_fitted(scorer, found.blend) == pytest.approx(found.cross_fitted, abs=1e-9)


def test_a_study_goes_on_to_its_total(scorer: Scorer, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    seen: list[float] = []
    first = _search(scorer, 12, storage=storage, name="s", problem="p", on_trial=seen.append)
    assert len(seen) == first.trials == 12
    assert seen == sorted(seen, reverse=True)
    again: list[float] = []
    second = _search(scorer, 16, storage=storage, name="s", problem="p", on_trial=again.append)
    assert len(again) == 4
    assert second.cross_fitted <= first.cross_fitted
    drawn = [tuple(trial.params.items()) for trial in second.study.trials]
    assert len(set(drawn)) == len(drawn)


def test_a_name_taken_by_another_problem_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    _search(scorer, 1, storage=storage, name="s", problem="these photos")
    with pytest.raises(ConfigError, match=r"of other data .* optuna delete-study --study-name s"):
        _search(scorer, 1, storage=storage, name="s", problem="other photos")


def test_a_trial_left_running_is_closed(scorer: Scorer, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    found = _search(scorer, 9, storage=storage, name="s", problem="p")
    found.study.ask()
    _search(scorer, 10, storage=storage, name="s", problem="p")
    study = optuna.load_study(study_name="s", storage=storage)
    assert study.get_trials(states=(TrialState.RUNNING,)) == []


@pytest.mark.parametrize("budget", [2.0, 5.0, 7.0])
def test_a_budget_is_kept(scorer: Scorer, budget: float) -> None:
    """A view of the first member costs 2, of the second 3."""
    found = _search(scorer, 40, budget=budget)
    cost = scorer.table.cost
    assert cost is not None
    used = scorer.weights(found.blend, everything(scorer)) > 0
    assert cost[used].sum() <= budget
    first = affordable_starts(scorer, everything(scorer), budget).values()
    assert found.cross_fitted <= min(_cross_fitted(scorer, blend) for blend in first) + 1e-9


@pytest.mark.parametrize("budget", [1.0, 2.5])
def test_a_cheap_member_that_is_the_worse_one_is_found(
    budget: float, make_table: MakeTable
) -> None:
    """No rule over everything would use it alone; the good one is beyond the budget."""
    table = make_table(photos=150, skills=(4.0, 1.0), costs=(9.0, 1.0))
    scorer = scorer_of(table)
    found = _search(scorer, 1, budget=budget)
    used = np.flatnonzero(scorer.weights(found.blend, everything(scorer)))
    views = [table.candidates[k] for k in used.tolist()]
    assert views == [("m1", "original"), ("m1", "hflip")][: int(budget)]
    nested = _nested(scorer, folds_of(table), trials=1, seed=0, budget=budget)
    assert 0 < -nested.mean() < np.log(6)


def test_the_best_affordable_subset_is_tried_first(make_table: MakeTable) -> None:
    table = make_table(photos=300, skills=(4.0, 1.0, 3.0, 2.0), costs=(9.0, 1.0, 2.0, 2.0))
    scorer = scorer_of(table)
    first = affordable_starts(scorer, everything(scorer), 4.0)
    inside = [
        {pair for pair, on in zip(table.candidates, blend.admitted, strict=True) if on}
        for blend in first.values()
    ]
    assert {("m2", "original"), ("m3", "original")} in inside
    assert not any(member == "m0" for pairs in inside for member, _ in pairs)


@pytest.mark.parametrize(
    ("options", "costs", "message"),
    [
        ({"trials": 0}, (1.0, 1.0), "trials: expected at least 1, got 0"),
        ({"budget": 1.0}, (2.0, 3.0), "no ensemble costs so little; m0 original alone takes 2 s"),
        ({"budget": 9.0}, (2.0, None), "time to predict was never measured"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    options: dict[str, Any], costs: tuple[float | None, ...], message: str, make_table: MakeTable
) -> None:
    scorer = scorer_of(make_table(photos=60, costs=costs))
    with pytest.raises(ConfigError, match=message):
        _search(scorer, **options)


def test_one_member_and_one_view(make_table: MakeTable) -> None:
    table = make_table(
        skills=(3.0,), views=("original",), view_shift=(0.0,), temperatures=(2.0,), photos=3000
    )
    found = _search(scorer_of(table), 30)
    assert found.blend.admitted == (True,)
    assert found.blend.temperatures[0] == pytest.approx(2.0, rel=0.15)


def test_a_zero_on_the_truth_is_searched_around(make_table: MakeTable) -> None:
    """The first member is sure that a photo is of none but another class."""
    scorer = scorer_of(with_a_zero(make_table(photos=100)))
    found = _search(scorer, 15)
    assert np.isfinite(found.cross_fitted)
    nested = _nested(scorer, folds_of(scorer.table), trials=12, seed=0)
    assert not np.isnan(nested).any()


def test_temperatures_that_are_known_are_recovered_in_a_mixture(make_table: MakeTable) -> None:
    """Each member knows half of the photos: what is tempered wrongly shows in the mixture."""
    table = make_table(photos=4000, skills=(3.0, 3.0), temperatures=(2.5, 0.5))
    scorer = scorer_of(table)
    plain = _cross_fitted(scorer, Blend.plain(table, "exact"))
    found = _search(scorer, 60)
    assert found.cross_fitted < plain - 0.02
    assert found.blend.temperatures[0] > 1.5 * found.blend.temperatures[1]


@pytest.mark.parametrize("seed", range(10))
def test_the_tuned_nested_score_is_no_worse_than_the_best_member(
    seed: int, make_table: MakeTable
) -> None:
    """Ten problems of members from alike to very different, sharpened or blurred."""
    generator = np.random.default_rng(seed)
    table = make_table(
        photos=250,
        skills=tuple(generator.uniform(0.5, 4, 3)),
        temperatures=tuple(np.exp(generator.normal(0, 0.4, 3))),
        seed=seed,
    )
    scorer = scorer_of(table)
    crossfit_folds = folds_of(table)
    nested = _nested(scorer, crossfit_folds, trials=10, seed=0)
    rows = everything(scorer)
    alone = [
        scorer.fitted(replace(Blend.plain(table, "equal"), admitted=tuple(mask)), rows)
        for mask in np.eye(len(table.candidates), dtype=bool).tolist()
    ]
    best = max(alone, key=lambda log_p: log_p.mean())
    noise = (nested - best).std() / np.sqrt(len(nested))
    assert -nested.mean() <= -best.mean() + 2 * noise


def test_the_nested_score_of_pure_noise_does_not_flatter(make_table: MakeTable) -> None:
    """Members that know nothing: a fitted choice finds something, an honest score does not."""
    table = make_table(photos=60, classes=3, skills=(0.05, 0.05, 0.05), seed=3)
    scorer = scorer_of(table)
    found = _search(scorer, 40)
    fitted = log_loss_of_true_class(scorer.fitted(found.blend, everything(scorer)))
    nested = _nested(scorer, folds_of(table), trials=15, seed=0)
    assert fitted < found.cross_fitted + 1e-9
    assert -nested.mean() > fitted


@pytest.mark.parametrize(("folds", "expected"), [(5, 5), (3, 3), (2, 5), (1, 5)])
def test_parts_are_folds_where_there_are_enough(
    folds: int, expected: int, make_table: MakeTable
) -> None:
    index = make_table(photos=90, folds=folds).index
    index["group"] = [f"g{i // 2}" for i in range(len(index))]
    crossfit_folds = assign_crossfit_folds(index, seed=0)
    assert len(np.unique(crossfit_folds)) == expected
    if folds >= 3:
        assert crossfit_folds.tolist() == index["fold"].tolist()
    else:
        assert index.assign(part=crossfit_folds).groupby("group")["part"].nunique().max() == 1
        assert assign_crossfit_folds(index, seed=0).tolist() == crossfit_folds.tolist()
    # Two folds of three are left for the search inside the nested score: these are split again.
    assert (
        -_nested(
            scorer_of(make_table(photos=90, folds=folds)), crossfit_folds, trials=1, seed=0
        ).mean()
        > 0
    )


def test_the_interval_is_the_normal_one_for_many_photos() -> None:
    losses = np.random.default_rng(0).exponential(1.0, 4000)
    low, high = bootstrap_interval(losses, range(4000), seed=0)
    half = 1.645 * losses.std() / np.sqrt(4000)
    assert low == pytest.approx(losses.mean() - half, rel=0.02)
    assert high == pytest.approx(losses.mean() + half, rel=0.02)


def test_copies_widen_the_interval() -> None:
    """Every photo four times: as much knowledge as once."""
    losses = np.repeat(np.random.default_rng(1).exponential(1.0, 500), 4)
    groups = np.repeat(np.arange(500), 4)
    apart = bootstrap_interval(losses, range(2000), seed=0)
    together = bootstrap_interval(losses, groups.tolist(), seed=0)
    assert together[1] - together[0] == pytest.approx(2 * (apart[1] - apart[0]), rel=0.1)


def _forge(storage: str, value: float, **changes: Any) -> None:
    """Write a finished trial into the study ``s``, with parameters of its first one changed."""
    study = optuna.load_study(study_name="s", storage=storage)
    first = study.trials[0]
    params = first.params | changes
    kinds = first.distributions | {
        name: optuna.distributions.CategoricalDistribution([choice])
        for name, choice in changes.items()
        if name not in first.distributions
    }
    study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=value))


@pytest.mark.parametrize("value", [float("-inf"), 1e-3])
@pytest.mark.parametrize(
    "changes",
    [{}, {"shrinkage": 1.0, "rule": "equal"}, {"stranger": "x"}],
    ids=["the same", "another blend", "of another search"],
)
def test_a_forged_trial_does_not_win(
    value: float,
    changes: dict[str, Any],
    scorer: Scorer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    honest = _search(scorer, 9, storage=storage, name="s", problem="p")
    _forge(storage, value, **changes)
    told: list[float] = []
    found = _search(scorer, 10, storage=storage, name="s", problem="p", on_trial=told.append)
    assert found.cross_fitted <= honest.cross_fitted
    assert _cross_fitted(scorer, found.blend) == pytest.approx(found.cross_fitted, abs=1e-9)
    # It neither counts as tried nor is told.
    assert len(told) == 1 and told[0] >= found.cross_fitted
    assert "trials 9 (stored" in caplog.text
    assert all(np.isfinite(trial.value or 0.0) for trial in found.study.trials)


def test_the_best_of_forged_trials_is_what_it_gives(scorer: Scorer, tmp_path: Path) -> None:
    """Among twenty values of the same kind the honest best one is found."""
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    honest = _search(scorer, 9, storage=storage, name="s", problem="p")
    for k in range(20):
        _forge(storage, -float(k), shrinkage=k / 20)
    found = _search(scorer, 9, storage=storage, name="s", problem="p")
    assert found.cross_fitted <= honest.cross_fitted
    assert _cross_fitted(scorer, found.blend) == pytest.approx(found.cross_fitted, abs=1e-9)


@pytest.mark.parametrize(
    "params", [{"x": 1.0}, {}, {"rule": "evil"}, {"shrinkage": 7.0, "rule": "exact"}]
)
def test_what_others_enqueued_is_not_tried(
    params: dict[str, Any], scorer: Scorer, tmp_path: Path
) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    optuna.create_study(study_name="s", storage=storage).enqueue_trial(params)
    found = _search(scorer, 1, storage=storage, name="s", problem="p")
    tried = found.study.get_trials(states=(TrialState.COMPLETE,))
    assert len(tried) == len(starts(scorer, everything(scorer)))
    assert all("start" in trial.user_attrs for trial in tried)


def test_a_study_of_other_choices_is_refused(scorer: Scorer, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = optuna.create_study(study_name="s", storage=storage)
    kinds = {"rule": optuna.distributions.CategoricalDistribution(["evil"])}
    study.add_trial(
        optuna.trial.create_trial(params={"rule": "evil"}, distributions=kinds, value=-5.0)
    )
    with pytest.raises(ConfigError, match=r"trial 0 whose 'rule' .* delete-study --study-name s"):
        _search(scorer, 1, storage=storage, name="s", problem="p")

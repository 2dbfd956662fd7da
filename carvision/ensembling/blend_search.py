"""The study of what is not convex: temperatures, the mixing, the rule, what to admit, shrinkage.

The weights themselves are solved inside each trial. A trial's value is the cross-fitted log loss:
a fitted one would always refuse shrinkage. Every rule is tried first, so the study never ends above
any of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from scipy.optimize import minimize_scalar

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.mix import mixture_log_loss
from carvision.ensembling.oof_predictions import OofTable
from carvision.ensembling.rules import RULES
from carvision.ensembling.study import Space, checked, enqueue_missing, run_to, study_of
from carvision.ensembling.temperature_grid import COLDEST, HOTTEST
from carvision.errors import ConfigError
from carvision.metrics import log_loss_of_true_class

#: Photos that affordable starts are ranked on; those that are tried are scored on all of them.
_RANKED_ON = 4096
#: Affordable subsets of several members that are tried first.
_AFFORDABLE = 5


@dataclass(frozen=True)
class Found:
    """The best blend of a study, and its cross-fitted log loss."""

    blend: Blend
    cross_fitted: float
    trials: int
    study: optuna.Study


def search(
    scorer: Scorer,
    rows: NDArray[np.int64],
    crossfit_folds: NDArray[np.int64],
    *,
    trials: int,
    seed: int,
    budget: float | None = None,
    name: str = "ensemble",
    problem: str = "",
    storage: str | None = None,
    on_trial: Callable[[float], None] = lambda best: None,
    on_start: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """Search on the photos ``rows``, whose ``crossfit_folds`` are left out by turns.

    ``trials`` is the study's total; one in a storage goes on, if it is of the same ``problem``.
    ``budget`` is the most that an ensemble may cost, in seconds for 1,000 photos. ``on_start`` gets
    the number of trials that are done already and that of all, ``on_trial`` the best value so far.

    Raises:
        ConfigError: no trial is asked for, a budget without known costs, or one that nothing meets.
    """
    if trials < 1:
        raise ConfigError(f"trials: expected at least 1, got {trials}")
    table = scorer.table
    if budget is not None:
        _check_budget(table, budget)
    space = _BlendSpace(table)

    def score(params: Mapping[str, Any]) -> float | None:
        blend = space.blend(params)
        if not any(blend.admitted):
            return None
        if budget is not None and _cost(table, scorer.weights(blend, rows)) > budget:
            return None
        return log_loss_of_true_class(scorer.cross_fitted(blend, rows, crossfit_folds))

    def objective(trial: optuna.Trial) -> float:
        space.space.suggest(trial)
        value = score(trial.params)
        if value is None:
            raise optuna.TrialPruned
        return value

    study = study_of(problem, name, storage, seed, space.space)
    opened = checked(study, space.space, score)
    first = starts(scorer, rows)
    if budget is not None:
        first |= affordable_starts(scorer, rows, budget)
    enqueue_missing(study, {key: space.params(blend) for key, blend in first.items()})
    run_to(opened, objective, trials, on_trial, on_start)
    best, tried = opened.best, len(opened.complete)
    tried += len(study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)))
    return Found(space.blend(best.params), opened.value(best), tried, opened.believed)


def starts(scorer: Scorer, rows: NDArray[np.int64]) -> dict[str, Blend]:
    """What is tried first: every rule as it is; each member's best temperature, mixed both ways."""
    table = scorer.table
    rules = {rule: Blend.plain(table, rule) for rule in RULES}
    tempered = replace(rules["exact"], temperatures=_own_temperatures(scorer, rows))
    return rules | {
        "exact, tempered": tempered,
        "exact, geometric": replace(tempered, mixing="geometric"),
        "equal, geometric": replace(tempered, rule="equal", mixing="geometric"),
    }


def affordable_starts(scorer: Scorer, rows: NDArray[np.int64], budget: float) -> dict[str, Blend]:
    """Exact weights over some members and views, within a budget that perhaps no rule meets.

    Each member that can be afforded, by its first view and by all of them; then the best few
    subsets of several members, likewise.
    """
    table = scorer.table
    some = rows[:: -(-len(rows) // _RANKED_ON)]
    tempered = replace(Blend.plain(table, "exact"), temperatures=_own_temperatures(scorer, rows))
    p = scorer.true_class(tempered)[some]

    def affordable(sizes: Iterable[int]) -> list[Blend]:
        found = []
        for admitted in _admissions(table, sizes):
            blend = replace(tempered, admitted=admitted)
            weights = blend.fit(p, table.plan_weights)
            if _cost(table, weights) <= budget:
                found.append((mixture_log_loss(p, weights), blend))
        return [blend for _, blend in sorted(found, key=lambda one: one[0])]

    several = affordable(range(2, len(table.members) + 1))[:_AFFORDABLE]
    return {f"affordable {i}": blend for i, blend in enumerate(affordable([1]) + several)}


def _admissions(table: OofTable, sizes: Iterable[int]) -> Iterator[tuple[bool, ...]]:
    """The subsets of these many members, by the first of their views and by all of them."""
    members = table.member_of
    first = np.append(-1, members[:-1]) != members
    for size in sizes:
        for chosen in combinations(range(len(table.members)), size):
            inside = np.isin(members, chosen)
            yield tuple((inside & first).tolist())
            yield tuple(inside.tolist())


def best_temperature(scorer: Scorer, rows: NDArray[np.int64], member: int) -> float:
    """The temperature at which a member's first view alone loses least on ``rows``."""
    candidate = int(np.argmax(scorer.table.member_of == member))

    def loss(log_temperature: float) -> float:
        each = np.full(len(scorer.table.members), np.exp(log_temperature))
        return log_loss_of_true_class(scorer.grid.at(each)[rows, candidate])

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def _own_temperatures(scorer: Scorer, rows: NDArray[np.int64]) -> tuple[float, ...]:
    members = range(len(scorer.table.members))
    return tuple(best_temperature(scorer, rows, member) for member in members)


def _check_budget(table: OofTable, budget: float) -> None:
    if table.cost is None:
        raise ConfigError(
            "budget: a member's time to predict was never measured, as it was trained by an "
            "earlier version; train it again (resume=never), or leave the budget out"
        )
    if table.cost.min() > budget:
        cheapest = " ".join(table.candidates[int(table.cost.argmin())])
        raise ConfigError(
            f"budget={budget}: no ensemble costs so little; {cheapest} alone takes "
            f"{table.cost.min():.3g} seconds for 1,000 photos"
        )


def _cost(table: OofTable, weights: NDArray[np.float64]) -> float:
    assert table.cost is not None  # search() refuses a budget without
    return float(table.cost[weights > 0].sum())


class _BlendSpace:
    """The parameters of a trial, and the blend that they describe."""

    def __init__(self, table: OofTable) -> None:
        self._table = table
        self._members = [member.name for member in table.members]
        self._views = list(dict.fromkeys(view for _, view in table.candidates))
        self.space = Space(
            {
                "rule": CategoricalDistribution(list(RULES)),
                "mixing": CategoricalDistribution(["arithmetic", "geometric"]),
                "shrinkage": FloatDistribution(0.0, 1.0),
            }
            | {
                f"temperature/{member}": FloatDistribution(COLDEST, HOTTEST, log=True)
                for member in self._members
            }
            | {switch: CategoricalDistribution([True, False]) for switch in self._switches()}
        )

    def blend(self, params: Mapping[str, Any]) -> Blend:
        """The blend of these parameters."""
        admitted = tuple(
            all(bool(params.get(switch, True)) for switch in _switches_of(*pair))
            for pair in self._table.candidates
        )
        return Blend(
            params["rule"],
            tuple(float(params[f"temperature/{name}"]) for name in self._members),
            admitted,
            params["mixing"],
            float(params["shrinkage"]),
        )

    def params(self, blend: Blend) -> dict[str, object]:
        """The inverse of :meth:`blend`; it admits some members, and of all these the same views."""
        temperatures = dict(zip(self._members, blend.temperatures, strict=True))
        pairs = zip(self._table.candidates, blend.admitted, strict=True)
        inside = {name for pair, on in pairs if on for name in _switches_of(*pair)}
        return {
            "rule": blend.rule,
            "mixing": blend.mixing,
            "shrinkage": blend.shrinkage,
            **{f"temperature/{name}": value for name, value in temperatures.items()},
            **{switch: switch in inside for switch in self._switches()},
        }

    def _switches(self) -> Sequence[str]:
        """One member, or one view, is always in."""
        members = [f"member/{name}" for name in self._members] if len(self._members) > 1 else []
        views = [f"view/{view}" for view in self._views] if len(self._views) > 1 else []
        return members + views


def _switches_of(member: str, view: str) -> tuple[str, str]:
    """The parameters that both must be on for a candidate to be admitted."""
    return f"member/{member}", f"view/{view}"

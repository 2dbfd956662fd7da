"""Raw weights by TPE: the search that the exact solution stands beside (``method=weights``)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution

from carvision.ensembling.mix import mixture_log_loss, normalised
from carvision.ensembling.oof_predictions import Candidate
from carvision.ensembling.study import Space, checked, enqueue_missing, run_to, study_of
from carvision.errors import ConfigError


@dataclass(frozen=True)
class Tuned:
    """The best weights found, ``[candidates]``, and their log loss."""

    weights: NDArray[np.float64]
    log_loss: float
    trials: int
    study: optuna.Study


def starting_points(
    candidates: Sequence[Candidate], member_weights: Mapping[str, float]
) -> dict[str, NDArray[np.float64]]:
    """Simple rules by name, each a weight for every candidate: the study never ends above them.

    ``member_weights`` are the plan's, which spread equally over a member's views.
    """
    members = list(dict.fromkeys(member for member, _ in candidates))
    rules = {
        "equal": np.ones(len(candidates)),
        "plan": np.array([member_weights[member] for member, _ in candidates]),
    }
    for i, (member, view) in enumerate(candidates):
        rules[f"{member} {view}"] = np.eye(len(candidates))[i]
    for member in members:
        own = np.array([float(name == member) for name, _ in candidates])
        rules[f"{member} all views"] = own
    for view in dict.fromkeys(view for _, view in candidates):
        rules[f"all members {view}"] = np.array([float(name == view) for _, name in candidates])
    return {name: normalised(weights) for name, weights in rules.items()}


def tune_weights(
    true_class: NDArray[np.floating],
    candidates: Sequence[Candidate],
    rules: Mapping[str, NDArray[np.float64]],
    *,
    trials: int,
    study_name: str,
    problem: str,
    storage: str | None,
    seed: int,
    on_trial: Callable[[float], None] = lambda best: None,
    on_start: Callable[[int, int], None] = lambda done, total: None,
) -> Tuned:
    """Minimise the out-of-fold log loss over raw weights with TPE.

    ``true_class`` holds probabilities ``[images, candidates]``. ``trials`` is the study's total: a
    study that was interrupted goes on, one that is complete is only read. ``on_start`` gets the
    number of trials that are done already and that of all, ``on_trial`` the best log loss so far.

    Raises:
        ConfigError: ``trials`` is below one.
    """
    if trials < 1:
        raise ConfigError(f"trials: expected at least 1, got {trials}")
    names = [f"{member}/{view}" for member, view in candidates]
    space = Space(dict.fromkeys(names, FloatDistribution(0.0, 1.0)))

    def weights_of(params: Mapping[str, Any]) -> NDArray[np.float64]:
        return normalised(np.array([params[name] for name in names], dtype=np.float64))

    def score(params: Mapping[str, Any]) -> float:
        return mixture_log_loss(true_class, weights_of(params))

    def objective(trial: optuna.Trial) -> float:
        space.suggest(trial)
        return score(trial.params)

    study = study_of(problem, study_name, storage, seed, space)
    opened = checked(study, space, score)
    enqueue_missing(study, {rule: _params(names, rules[rule]) for rule in rules})
    run_to(opened, objective, trials, on_trial, on_start)
    best = weights_of(opened.best.params)
    found = mixture_log_loss(true_class, best)
    return Tuned(best, found, len(opened.complete), opened.believed)


def _params(names: Sequence[str], weights: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(names, weights.tolist(), strict=True))

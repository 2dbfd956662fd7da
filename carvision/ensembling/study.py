"""Minimise a problem with an Optuna study, which goes on after an interruption."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

import optuna
from optuna.trial import TrialState

from carvision.ensembling.study_space import StudySpace
from carvision.ensembling.verified_study import VerifiedStudy
from carvision.errors import ConfigError
from carvision.optuna_storage import close_interrupted, open_study, refuse_other_choices

_DIGEST: Final = "problem"

Solution = TypeVar("Solution")


class StudyProblem(Protocol[Solution]):
    """A function to minimise, and the points to begin with."""

    @property
    def space(self) -> StudySpace:
        """The parameters of a trial."""

    def decode(self, params: Mapping[str, Any]) -> Solution:
        """The solution that a trial's parameters describe."""

    def score(self, solution: Solution) -> float | None:
        """The value to minimise; None prunes the trial."""

    def starts(self) -> Mapping[str, Mapping[str, object]]:
        """Parameters to try before any are drawn, by name."""


@dataclass(frozen=True)
class StudyRequest:
    """What a study shall do, where it is stored, and who watches it.

    ``trials`` is the total: a study that was interrupted goes on, one that is complete is only
    read. What the problem starts with is tried in any case.

    ``digest`` identifies the problem, so that a study of ``name`` in ``storage`` that is of another
    one is refused. ``storage`` is the address of an SQLite file; without one the study lives in
    memory. ``on_start`` gets the number of trials that are done already and that of all,
    ``on_trial`` the best value so far.
    """

    trials: int
    seed: int
    name: str = "in memory"
    digest: str = ""
    storage: str | None = None
    on_start: Callable[[int, int], None] = lambda done, total: None
    on_trial: Callable[[float], None] = lambda best: None


@dataclass(frozen=True)
class StudyResult(Generic[Solution]):
    """The best solution, its value, the number of trials that led to it, and the study."""

    best: Solution
    value: float
    trials: int
    study: optuna.Study


def minimise(problem: StudyProblem[Solution], request: StudyRequest) -> StudyResult[Solution]:
    """Search the parameters of ``problem`` with TPE.

    Raises:
        ConfigError: ``trials`` is below one, or the stored study is of another problem.
    """
    if request.trials < 1:
        raise ConfigError(f"trials: expected at least 1, got {request.trials}")
    study = _open(problem.space, request)
    verified = VerifiedStudy.of(
        study, problem.space, lambda params: problem.score(problem.decode(params))
    )
    _enqueue_missing(study, problem.starts())
    waiting = len(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
    remaining = max(request.trials - verified.done, waiting)
    request.on_start(verified.done, verified.done + remaining)
    if remaining > 0:
        study.optimize(
            objective_of(problem),
            n_trials=remaining,
            callbacks=[lambda study, trial: request.on_trial(verified.best_value)],
        )
    best = verified.best
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    return StudyResult(
        problem.decode(best.params),
        verified.value(best),
        len(verified.complete) + len(pruned),
        verified.without_wrong_trials,
    )


def objective_of(problem: StudyProblem[Solution]) -> Callable[[optuna.Trial], float]:
    """The function that Optuna minimises for ``problem``."""

    def objective(trial: optuna.Trial) -> float:
        problem.space.suggest(trial)
        value = problem.score(problem.decode(trial.params))
        if value is None:
            raise optuna.TrialPruned
        return value

    return objective


def _open(space: StudySpace, request: StudyRequest) -> optuna.Study:
    """The study of the request's name, new or as it was left."""
    name, storage = request.name, request.storage
    study = open_study(name, storage, request.seed)
    held = study.user_attrs.get(_DIGEST, request.digest)
    if held != request.digest:
        raise ConfigError(
            f"the study {name!r} in {storage} is of other data ({held}, not {request.digest}); "
            f"remove it: optuna delete-study --study-name {name} --storage {storage}"
        )
    refuse_other_choices(study, space.distributions, storage)
    study.set_user_attr(_DIGEST, request.digest)
    close_interrupted(study)
    return study


def _enqueue_missing(study: optuna.Study, starts: Mapping[str, Mapping[str, object]]) -> None:
    """Enqueue every start that no trial has tried or waits to try; equal ones count as one."""
    _close_unknown(study, starts)
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING)
    known = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(states=states)]
    for name, params in starts.items():
        if params not in known:
            study.enqueue_trial(dict(params), user_attrs={"start": name})
            known.append(dict(params))


def _close_unknown(study: optuna.Study, starts: Mapping[str, Mapping[str, object]]) -> None:
    """Close the waiting trials if one of them is no start: others enqueued it."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    known = [dict(params) for params in starts.values()]
    if all(trial.system_attrs.get("fixed_params") in known for trial in waiting):
        return
    # Optuna hands them out in their order only; the starts among them are enqueued again.
    for _ in waiting:
        study.tell(study.ask(), state=TrialState.FAIL)

"""The ways to tune: the study of blends around exact weights, and raw weights for comparison."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.blend_search import search
from carvision.ensembling.leaderboard import FittedBlend
from carvision.ensembling.nested_score import nested_log_probabilities
from carvision.ensembling.weight_search import starting_points, tune_weights
from carvision.errors import ConfigError
from carvision.files import alone
from carvision.metrics import true_class_column
from carvision.reporting.console import progress
from carvision.workspace import STUDY_STORAGE, study_lock

#: The outer searches, which only judge the first one, draw a fifth of what it draws.
_OUTER_SHARE: Final = 5
#: No rule of the leaderboard: nothing is fitted again by it.
_RAW: Final = "raw weights by TPE"


@dataclass(frozen=True)
class Settings:
    """What the user asked of the search; ``budget`` is in seconds for 1,000 photos."""

    method: str
    trials: int
    seed: int
    budget: float | None


@dataclass(frozen=True)
class Tuning:
    """What a method found, and how.

    ``held_out`` is each photo's prediction by an ensemble that was searched and fitted without its
    fold: log-probabilities ``[images, classes]``.
    """

    contestant: FittedBlend
    held_out: NDArray[np.float32]
    study: optuna.Study

    @classmethod
    def of(
        cls,
        scorer: Scorer,
        blend: Blend,
        weights: NDArray[np.float64],
        held_out: NDArray[np.float32],
        study: optuna.Study,
    ) -> Self:
        """Judge a blend by what was held out."""
        nested_log_p = true_class_column(held_out, scorer.table.targets)
        return cls(FittedBlend.of(blend, weights, nested_log_p), held_out, study)


def tuned_by_method(
    scorer: Scorer, crossfit_folds: NDArray[np.int64], settings: Settings
) -> Tuning:
    """Search as ``settings`` say.

    Raises:
        CarvisionError: another process searches the same.
    """
    name = _study_name(scorer, settings)
    # A study that is opened closes the trials that run in it: they are taken for a killed one's.
    with alone(study_lock(name), f"the study {name}"):
        return METHODS[settings.method](scorer, crossfit_folds, settings)


def outer_trials(trials: int, study: optuna.Study) -> int:
    """Trials of each search of the nested score, where ``study`` was to have ``trials``.

    The outer search tries what is tried first in any study, and then draws: only what is drawn
    makes a search optimistic.
    """
    tried = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    starts = sum("start" in trial.user_attrs for trial in tried)
    return starts + max(0, -(-(trials - starts) // _OUTER_SHARE))


def by_study(scorer: Scorer, crossfit_folds: NDArray[np.int64], settings: Settings) -> Tuning:
    """Search rule, temperatures, mixing, admission and shrinkage; weights are solved."""
    rows = np.arange(len(scorer.table.index))
    with _trials_bar() as (on_start, on_trial):
        found = search(
            scorer,
            rows,
            crossfit_folds,
            trials=settings.trials,
            seed=settings.seed,
            budget=settings.budget,
            name=_study_name(scorer, settings),
            problem=_problem(scorer, settings),
            storage=STUDY_STORAGE,
            on_trial=on_trial,
            on_start=on_start,
        )
    with progress("the search again, without each fold", len(np.unique(crossfit_folds))) as advance:
        held_out = nested_log_probabilities(
            scorer,
            crossfit_folds,
            trials=outer_trials(settings.trials, found.study),
            seed=settings.seed,
            budget=settings.budget,
            advance=advance,
        )
    weights = scorer.weights(found.blend, rows)
    return Tuning.of(scorer, found.blend, weights, held_out, found.study)


def by_raw_weights(scorer: Scorer, crossfit_folds: NDArray[np.int64], settings: Settings) -> Tuning:
    """Draw a weight for each candidate with TPE; the fitted log loss is what it minimises."""
    if settings.budget is not None:
        raise ConfigError("budget: method=weights uses every view; leave one of the two out")
    table = scorer.table
    true_class = np.exp(table.log_true_class.astype(np.float64))
    plan = {member.name: member.plan_weight for member in table.members}
    rules = starting_points(table.candidates, plan)
    trials = max(settings.trials, len(rules))
    with _trials_bar() as (on_start, on_trial):
        tuned = tune_weights(
            true_class,
            table.candidates,
            rules,
            trials=trials,
            study_name=_study_name(scorer, settings),
            problem=_problem(scorer, settings),
            storage=STUDY_STORAGE,
            seed=settings.seed,
            on_trial=on_trial,
            on_start=on_start,
        )
    blend = Blend.plain(table, _RAW)
    held_out = np.empty((len(true_class), table.classes), np.float32)
    with progress("the search again, without each fold", len(np.unique(crossfit_folds))) as advance:
        for fold in np.unique(crossfit_folds):
            rows = np.flatnonzero(crossfit_folds == fold)
            outer = tune_weights(
                true_class[crossfit_folds != fold],
                table.candidates,
                rules,
                trials=outer_trials(trials, tuned.study),
                study_name="outer",
                problem="outer",
                storage=None,
                seed=settings.seed,
            )
            held_out[rows] = scorer.log_probabilities(blend, outer.weights, rows)
            advance(1)
    return Tuning.of(scorer, blend, tuned.weights, held_out, tuned.study)


@contextmanager
def _trials_bar() -> Iterator[tuple[Callable[[int, int], None], Callable[[float], None]]]:
    """A bar over the trials of a study; one that goes on begins with what is done.

    Gives what is to be called once with the trials that are done and all, and after each with the
    best log loss.
    """
    with ExitStack() as stack:
        advance: Callable[..., None]

        def on_start(done: int, total: int) -> None:
            nonlocal advance
            advance = stack.enter_context(progress("tuning", total, done))

        def on_trial(best: float) -> None:
            advance(1, f"tuning, best {best:.4f}")

        yield on_start, on_trial


METHODS: Final[dict[str, Callable[[Scorer, NDArray[np.int64], Settings], Tuning]]] = {
    "study": by_study,
    "weights": by_raw_weights,
}


def _study_name(scorer: Scorer, settings: Settings) -> str:
    """By its problem: version numbers begin again in another store."""
    return f"{settings.method}-{_problem(scorer, settings)[:16]}"


def _problem(scorer: Scorer, settings: Settings) -> str:
    """All that is minimised, in one sum."""
    table = scorer.table
    about = (table.candidates, table.plan_weights.tolist(), settings.seed, settings.budget)
    digest = hashlib.sha256(repr(about).encode())
    digest.update("\n".join(table.index["image_id"]).encode())
    digest.update(np.ascontiguousarray(table.log_true_class).tobytes())
    return digest.hexdigest()

"""The ways to tune: a study of blends around exact weights, or raw weights for comparison."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState

from carvision.ensembling.blend import Blend, Scorer
from carvision.ensembling.blend_search import BlendProblem
from carvision.ensembling.leaderboard import FittedBlend
from carvision.ensembling.mix import mixture_log_loss
from carvision.ensembling.nested_score import nested_log_probabilities
from carvision.ensembling.study import StudyRequest, minimise
from carvision.ensembling.weight_search import WeightProblem
from carvision.errors import ConfigError
from carvision.files import alone
from carvision.metrics import true_class_column
from carvision.reporting.console import progress
from carvision.workspace import STUDY_STORAGE, study_lock

#: The searches of the nested score draw a fifth of the trials.
_NESTED_SHARE: Final = 5
#: The name of weights that no rule gives.
_RAW_WEIGHTS: Final = "raw weights by TPE"


@dataclass(frozen=True)
class TuneSettings:
    """What the user asked of the search; ``budget`` is in seconds for 1,000 photos."""

    method: str
    trials: int
    seed: int
    budget: float | None


@dataclass(frozen=True)
class TuneResult:
    """The tuned ensemble, its nested predictions, and the study that found it.

    ``nested`` ``[images, classes]`` are log-probabilities of each photo by an ensemble that was
    searched and fitted without its fold.
    """

    tuned: FittedBlend
    nested: NDArray[np.float32]
    study: optuna.Study


class Method(Protocol):
    """A search on some photos of a table, by their rows and cross-fitting folds."""

    def __call__(
        self,
        scorer: Scorer,
        budget: float | None,
        request: StudyRequest,
        rows: NDArray[np.int64],
        crossfit_folds: NDArray[np.int64],
    ) -> tuple[Blend, NDArray[np.float64], optuna.Study]:
        """The blend found, its weights ``[candidates]``, and the study."""


def tune_by_method(
    scorer: Scorer, crossfit_folds: NDArray[np.int64], settings: TuneSettings
) -> TuneResult:
    """Search as ``settings`` say, then again without each fold.

    Raises:
        CarvisionError: another process runs the same study.
    """
    digest = _problem_digest(scorer, settings)
    # Not named by the members' versions, which begin at 1 again in another store.
    name = f"{settings.method}-{digest[:16]}"
    search = partial(METHODS[settings.method], scorer, settings.budget)
    rows = np.arange(len(scorer.table.index))
    # A study that is opened closes its running trials, which must not be another process's.
    with alone(study_lock(name), f"the study {name}"):
        with _trials_bar() as (on_start, on_trial):
            request = StudyRequest(
                settings.trials,
                settings.seed,
                name=name,
                digest=digest,
                storage=STUDY_STORAGE,
                on_start=on_start,
                on_trial=on_trial,
            )
            blend, weights, study = search(request, rows, crossfit_folds)
        again = StudyRequest(nested_trials(settings.trials, study), settings.seed)
        with progress("searching again without each fold", len(np.unique(crossfit_folds))) as bar:
            nested = nested_log_probabilities(
                scorer,
                crossfit_folds,
                lambda some, folds: search(again, some, folds)[:2],
                settings.seed,
                bar,
            )
    nested_log_p = true_class_column(nested, scorer.table.targets)
    return TuneResult(FittedBlend.of(blend, weights, nested_log_p), nested, study)


def nested_trials(trials: int, study: optuna.Study) -> int:
    """The trials of each search of the nested score, if ``study`` was to have ``trials``.

    Each such search tries the same starts; only what is drawn after them makes a search optimistic.
    """
    tried = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    starts = sum("start" in trial.user_attrs for trial in tried)
    return starts + max(0, -(-(trials - starts) // _NESTED_SHARE))


def search_blends(
    scorer: Scorer,
    budget: float | None,
    request: StudyRequest,
    rows: NDArray[np.int64],
    crossfit_folds: NDArray[np.int64],
) -> tuple[Blend, NDArray[np.float64], optuna.Study]:
    """Search rule, temperatures, mixing, admission and shrinkage; the rule gives the weights."""
    found = minimise(BlendProblem(scorer, rows, crossfit_folds, budget), request)
    return found.best, scorer.weights(found.best, rows), found.study


def search_weights(
    scorer: Scorer,
    budget: float | None,
    request: StudyRequest,
    rows: NDArray[np.int64],
    crossfit_folds: NDArray[np.int64],
) -> tuple[Blend, NDArray[np.float64], optuna.Study]:
    """Draw a weight for each candidate; the fitted log loss is minimised, so no folds are used."""
    if budget is not None:
        raise ConfigError("budget: method=weights uses every view; leave one of the two out")
    table = scorer.table
    true_class = np.exp(table.log_true_class[rows].astype(np.float64))
    member_weights = {member.name: member.plan_weight for member in table.members}
    log_loss = partial(mixture_log_loss, true_class)
    found = minimise(WeightProblem(table.candidates, member_weights, log_loss), request)
    return Blend.plain(table, _RAW_WEIGHTS), found.best, found.study


METHODS: Final[dict[str, Method]] = {"study": search_blends, "weights": search_weights}


@contextmanager
def _trials_bar() -> Iterator[tuple[Callable[[int, int], None], Callable[[float], None]]]:
    """Show a progress bar over the trials of a study; one that goes on begins with what is done.

    Yields two callbacks: for the number of trials that are done and of all, once, and for the best
    log loss after each trial.
    """
    with ExitStack() as stack:
        advance: Callable[..., None]

        def on_start(done: int, total: int) -> None:
            nonlocal advance
            advance = stack.enter_context(progress("tuning", total, done))

        def on_trial(best: float) -> None:
            advance(1, f"tuning, best {best:.4f}")

        yield on_start, on_trial


def _problem_digest(scorer: Scorer, settings: TuneSettings) -> str:
    """A hash of everything that decides what is minimised."""
    table = scorer.table
    about = (table.candidates, table.plan_weights.tolist(), settings.seed, settings.budget)
    digest = hashlib.sha256(repr(about).encode())
    digest.update("\n".join(table.index["image_id"]).encode())
    digest.update(np.ascontiguousarray(table.log_true_class).tobytes())
    return digest.hexdigest()

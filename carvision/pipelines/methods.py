"""The ways to tune: the study of blends around exact weights, and raw weights for comparison."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import optuna
from numpy.typing import NDArray

from carvision.ensembling import (
    Blend,
    Contestant,
    Scorer,
    nested_log_p,
    search,
    starting_points,
    tune_weights,
)
from carvision.errors import ConfigError
from carvision.metrics import CLIP
from carvision.reporting.console import progress
from carvision.studies import STORAGE

#: The outer searches, which only judge the first one, have a fifth of its trials.
_OUTER_SHARE: Final = 5


@dataclass(frozen=True)
class Settings:
    """What the user asked of the search; ``budget`` is in seconds for 1,000 photos."""

    method: str
    trials: int
    seed: int
    budget: float | None

    @property
    def outer_trials(self) -> int:
        """Trials of each search of the nested score."""
        return max(1, self.trials // _OUTER_SHARE)


def by_study(
    scorer: Scorer, parts: NDArray[np.int64], settings: Settings
) -> tuple[Contestant, optuna.Study]:
    """Search rule, temperatures, mixing, admission and shrinkage; weights are solved."""
    rows = np.arange(len(scorer.table.index))
    with progress("tuning", settings.trials) as advance:
        found = search(
            scorer,
            rows,
            parts,
            trials=settings.trials,
            seed=settings.seed,
            budget=settings.budget,
            name=_study_name(scorer, settings),
            problem=_problem(scorer, settings),
            storage=STORAGE,
            on_trial=lambda best: advance(1, f"tuning, best {best:.4f}"),
        )
    with progress("the search again, without each fold", len(np.unique(parts))) as advance:
        honest = nested_log_p(
            scorer,
            parts,
            trials=settings.outer_trials,
            seed=settings.seed,
            budget=settings.budget,
            advance=advance,
        )
    return Contestant(found.blend, scorer.weights(found.blend, rows), honest), found.study


def by_raw_weights(
    scorer: Scorer, parts: NDArray[np.int64], settings: Settings
) -> tuple[Contestant, optuna.Study]:
    """Draw a weight for each candidate with TPE; the fitted log loss is what it minimises."""
    if settings.budget is not None:
        raise ConfigError("budget: method=weights uses every view; leave one of the two out")
    table = scorer.table
    true_class = np.exp(table.log_true_class.astype(np.float64))
    plan = {member.name: member.plan for member in table.members}
    rules = starting_points(table.candidates, plan)
    trials = max(settings.trials, len(rules))
    with progress("tuning", trials) as advance:
        tuned = tune_weights(
            true_class,
            table.candidates,
            rules,
            trials=trials,
            study_name=_study_name(scorer, settings),
            problem=_problem(scorer, settings),
            storage=STORAGE,
            seed=settings.seed,
            on_trial=lambda best: advance(1, f"tuning, best {best:.4f}"),
        )
    honest = np.empty(len(true_class))
    with progress("the search again, without each fold", len(np.unique(parts))) as advance:
        for part in np.unique(parts):
            held_out = parts == part
            outer = tune_weights(
                true_class[~held_out],
                table.candidates,
                rules,
                trials=settings.outer_trials,
                study_name="outer",
                problem="outer",
                storage=None,
                seed=settings.seed,
            )
            honest[held_out] = np.log(np.maximum(true_class[held_out] @ outer.weights, CLIP))
            advance(1)
    return Contestant(Blend.plain(table, "equal"), tuned.weights, honest), tuned.study


METHODS: Final[
    dict[
        str,
        Callable[[Scorer, NDArray[np.int64], Settings], tuple[Contestant, optuna.Study]],
    ]
] = {"study": by_study, "weights": by_raw_weights}


def _study_name(scorer: Scorer, settings: Settings) -> str:
    """By its problem: version numbers begin again in another store."""
    return f"{settings.method}-{_problem(scorer, settings)[:16]}"


def _problem(scorer: Scorer, settings: Settings) -> str:
    """All that is minimised, in one sum."""
    table = scorer.table
    about = (table.candidates, table.plan.tolist(), settings.seed, settings.budget)
    digest = hashlib.sha256(repr(about).encode())
    digest.update("\n".join(table.index["image_id"]).encode())
    digest.update(np.ascontiguousarray(table.log_true_class).tobytes())
    return digest.hexdigest()

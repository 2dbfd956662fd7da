"""A small problem of raw weights, in a stored study."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState

from carvision.ensembling.mix import mixture_log_loss
from carvision.ensembling.study import StudyRequest, StudyResult, minimise
from carvision.ensembling.weight_search import WeightProblem, simple_weights

CANDIDATES = [("a", "original"), ("a", "hflip"), ("b", "original"), ("b", "hflip")]
PLAN = {"a": 20.0, "b": 10.0}
#: Equal, plan, one a candidate, one a member, one a view.
SIMPLE = simple_weights(CANDIDATES, PLAN)


@dataclass(frozen=True)
class WeightStudy:
    """Out-of-fold probabilities of the true class ``[images, candidates]``, and their storage."""

    true_class: NDArray[np.float64]
    storage: str

    @classmethod
    def within(cls, folder: Path) -> "WeightStudy":
        """Members that are sure of different photos; the last candidate is worthless."""
        generator = np.random.default_rng(4)
        strong, weak = generator.beta(8, 1, (2, 300)), generator.beta(1.2, 3, (2, 300))
        knows = generator.random(300) < 0.7
        true_class = np.stack(
            [
                np.where(knows, strong[0], weak[0]),
                np.where(knows, strong[1], weak[0]) * 0.8,
                np.where(knows, weak[1], strong[1]),
                np.full(300, 1e-4),
            ],
            axis=1,
        )
        return cls(true_class, f"sqlite:///{folder / 'optuna.db'}")

    def tune(self, trials: int, **options: Any) -> StudyResult[NDArray[np.float64]]:
        """Minimise the log loss over the weights."""
        problem = WeightProblem(CANDIDATES, PLAN, partial(mixture_log_loss, self.true_class))
        settings: dict[str, Any] = {"name": "study", "digest": "p", "seed": 0} | options
        return minimise(problem, StudyRequest(trials, storage=self.storage, **settings))

    def trials(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        """The stored trials."""
        study = optuna.load_study(study_name="study", storage=self.storage)
        return study.get_trials(states=states or None)

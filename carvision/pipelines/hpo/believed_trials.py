"""Which finished trials of a search count: those whose runs in MLflow have the same result.

A study lies in a file that anybody may write to. A log loss cannot be checked by computing it
again, as that of a mixture can, so it is compared with the one in the tracking store.
"""

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from mlflow.exceptions import MlflowException
from optuna.trial import FrozenTrial

from carvision.config import Config
from carvision.config.layers import flat
from carvision.contracts.names import is_run_id
from carvision.store.client import client
from carvision.store.runs import as_parameter
from carvision.store.server import is_missing
from carvision.store.tags import STUDY
from carvision.training.hyperparameter_space import configured, is_of_space

#: The attribute of a trial that names its run.
RUN_ID: Final = "run_id"
BEST: Final = "best/val_log_loss"
#: Result settings that differ from what the run logged: they are resolved, the run's are as given.
_RESOLVED: Final = ("model.weights", "train.image_size")

log = logging.getLogger(__name__)


class BelievedTrials:
    """Check each finished trial once against its run; warn of those that do not count."""

    def __init__(self, study_name: str, config: Config) -> None:
        self._study_name = study_name
        self._config = config
        self._believed: dict[int, bool] = {}

    def __call__(self, trial: FrozenTrial) -> bool:
        """Whether a finished trial's run has the log loss that the study says."""
        if trial.number not in self._believed:
            reason = self._objection(trial)
            self._believed[trial.number] = not reason
            if reason:
                log.warning(
                    "trial %d of the study %s does not count: %s",
                    trial.number,
                    self._study_name,
                    reason,
                )
        return self._believed[trial.number]

    def _objection(self, trial: FrozenTrial) -> str:
        """Why a trial does not count; empty if it does."""
        if not is_of_space(self._config, trial.params):
            return "its settings are not of this search"
        run_id = run_named_by(trial.user_attrs)
        if not run_id:
            return "it names no run"
        try:
            run = client().get_run(run_id)
        except MlflowException as error:
            if not is_missing(error):
                raise
            return f"this tracking store has no run {run_id}"
        if run.data.tags.get(STUDY) != self._study_name:
            return f"its run {run_id} is of another study"
        value, logged = trial.value, run.data.metrics.get(BEST, math.nan)
        if value is None or not math.isclose(value, logged, rel_tol=1e-9):
            return f"it says {value}, and its run {run_id} says {logged}"
        settings = configured(self._config, trial.params).result_settings()
        for key, value in flat(settings):
            # Those of sections, which a run logs as they are.
            setting, compared = as_parameter(value), "." in key and key not in _RESOLVED
            if compared and run.data.params.get(f"config.{key}", setting) != setting:
                return f"its run {run_id} was trained with another {key}"
        return ""


def run_named_by(attributes: Mapping[str, Any]) -> str:
    """The ID of the run that a trial's attributes name; empty if they name none."""
    run_id = attributes.get(RUN_ID, "")
    return run_id if isinstance(run_id, str) and is_run_id(run_id) else ""

"""How later steps find runs, and the settings that a run holds."""

from collections.abc import Mapping
from typing import Any

import mlflow
import yaml
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from carvision.config.layers import flat
from carvision.redaction import redacted
from carvision.store.client import client, open_store
from carvision.store.server import is_missing
from carvision.store.tags import STAGE

#: MLflow refuses longer parameter values.
_LONGEST_PARAM = 6000
#: What some stores answer for a run that they do not have.
_MALFORMED = "INVALID_PARAMETER_VALUE"


def exists(run_id: str) -> bool:
    """Whether this store has a run that is not marked as deleted."""
    try:
        return client().get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        # Any other error, such as that of a server that is away, answers nothing.
        if not is_missing(error) and error.error_code != _MALFORMED:
            raise
        return False


def find_runs(stage: str, tags: Mapping[str, str]) -> list[Run]:
    """The finished runs of a stage with these tags, in all experiments, the newest first."""
    open_store()
    conditions = [f"tags.`{key}` = '{value}'" for key, value in {STAGE: stage, **tags}.items()]
    return mlflow.search_runs(
        filter_string=" and ".join([*conditions, "attributes.status = 'FINISHED'"]),
        order_by=["attributes.start_time DESC"],
        search_all_experiments=True,
        output_format="list",
    )


def log_settings(settings: Mapping[str, Any]) -> None:
    """Log the resolved configuration: each setting as a parameter, and all as ``config.yaml``.

    The parameters have a prefix, because ``mlflow run`` logs its own under the bare names.
    """
    mlflow.log_params({f"config.{key}": as_parameter(value) for key, value in flat(settings)})
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    mlflow.log_text(redacted(text), "config.yaml")


def as_parameter(value: object) -> str:
    """The value of a setting as a parameter of a run: short, and without passwords."""
    return redacted(str(value))[:_LONGEST_PARAM]

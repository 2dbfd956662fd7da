"""Closes the run that ``mlflow run`` opened for a step that is refused before it begins.

``mlflow run`` opens a run under a random name and starts the step, which takes the run over. Where
the step refuses its parameters, that name would be all that tells the run from a failed training.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from carvision.redaction import redacted

log = logging.getLogger(__name__)


@contextmanager
def unstarted_run_closed() -> Iterator[None]:
    """Run a command; if it fails before its step took the run over, name and close that run."""
    try:
        yield
    except KeyboardInterrupt:
        _close("KILLED", "It was interrupted before it began.")
        raise
    except Exception as error:
        _close("FAILED", str(error) or type(error).__name__)
        raise


def _close(status: str, reason: str) -> None:
    """Name and end the run that was handed to this process, if no step has taken it over."""
    # MLflow removes the variable when a step opens the run.
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if not run_id:
        return
    # Later than this module: a mistyped parameter outside of `mlflow run` needs no MLflow.
    from mlflow.tracking import MlflowClient
    from mlflow.utils.mlflow_tags import MLFLOW_PROJECT_ENTRY_POINT, MLFLOW_RUN_NOTE

    from carvision.store.server import no_patience, unreachable

    if unreachable():
        return
    try:
        with no_patience():
            client = MlflowClient()
            run = client.get_run(run_id)
            step = run.data.tags.get(MLFLOW_PROJECT_ENTRY_POINT, "run")
            client.update_run(run_id, name=f"{step} (not started)")
            client.set_tag(run_id, MLFLOW_RUN_NOTE, redacted(reason))
            client.set_terminated(run_id, status)
    except Exception as error:  # whatever it is, it must not hide why the step did not begin
        log.warning("run %s keeps the name that mlflow run gave it: %s", run_id, error)

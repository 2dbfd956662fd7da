"""The run that ``mlflow run`` opened for a step that never began: named, and closed.

``mlflow run`` opens it under a random name before it starts the step, which takes it over. Whatever
is refused before that would leave a failed run that nobody can tell from a training.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from carvision.redaction import redacted

log = logging.getLogger(__name__)


@contextmanager
def unstarted_run_closed() -> Iterator[None]:
    """The block that begins a step: if it ends without one, the run that waits for it is closed."""
    try:
        yield
    except KeyboardInterrupt:
        _close("KILLED", "It was interrupted before it began.")
        raise
    except Exception as error:
        _close("FAILED", str(error) or type(error).__name__)
        raise


def _close(status: str, reason: str) -> None:
    """Name the run that was handed to this process and that no step has taken over, if any."""
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

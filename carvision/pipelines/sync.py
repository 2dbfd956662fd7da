"""what MLflow missed -> MLflow: results of steps and folds, and epochs that were not sent."""

from collections.abc import Iterable
from pathlib import Path

import mlflow

from carvision.errors import GoneError, TrackingError
from carvision.pipelines.command import command_run
from carvision.reporting.console import announce
from carvision.store.server import SERVER_ERRORS, shown_uri, unreachable
from carvision.tracking.event_log import EVENTS_FILE, read_events, run_named_in
from carvision.tracking.outbox.events import pending, send_pending
from carvision.tracking.outbox.folds import deliver, is_finished
from carvision.tracking.outbox.steps import waiting

STAGE_SYNC = "sync"


def sync(folder: Path) -> int:
    """The entry point: send MLflow what it missed, and return the number of epochs.

    ``folder`` holds the folds that MLflow does not have yet. It gets their results and epochs, and
    the results of other steps that wait in the outbox. A second call sends nothing twice.

    Raises:
        TrackingError: the tracking server cannot be reached, or refuses; what was sent is noted.
    """
    reason = unreachable()
    if reason is not None:
        raise _no_server(reason)
    logs = sorted(folder.glob(f"*/fold*/{EVENTS_FILE}"))
    if not logs:
        announce(f"nothing to send: there are no event logs below {folder.absolute()}")
    with command_run(STAGE_SYNC, "sync"):
        # The run of a command begins with the delivery of what waits in the outbox.
        if left := waiting():
            raise _not_logged(left)
        epochs = sum(_send(path) for path in logs)
        mlflow.log_metric("epochs_sent", epochs)
    return epochs


def _send(path: Path) -> int:
    """Send what MLflow lacks of one fold; return the number of epochs."""
    if is_finished(path.parent):
        epochs = deliver(path.parent)
        if epochs is None:
            raise _not_logged([path.parent])
        return len(epochs)
    if not pending(path):
        announce(f"{path}: MLflow has everything")
        return 0
    try:
        epochs = send_pending(path)
    except SERVER_ERRORS as error:
        raise _no_server(str(error)) from error
    except GoneError as error:
        announce(f"{path}: skipped, {error}")
        return 0
    except TrackingError as error:
        announce(f"{error}, which goes on with it")
        return 0
    if not (run_id := run_named_in(read_events(path))):
        announce(f"{path}: has no run yet; it gets one when its training goes on")
        return 0
    numbers = ", ".join(map(str, epochs))
    announce(f"{path}: sent {f'epochs {numbers}' if epochs else 'no epochs'} to run {run_id}")
    return len(epochs)


def _not_logged(folders: Iterable[Path]) -> TrackingError:
    return TrackingError(
        f"{', '.join(map(str, folders))} could not be logged, for the reason above; it stays on "
        "the disk: once the cause is mended, run this again"
    )


def _no_server(reason: str) -> TrackingError:
    return TrackingError(
        f"{shown_uri()} cannot be reached: {reason}\nStart the server, or point "
        "MLFLOW_TRACKING_URI at it, and run this again; what is unsent stays on the disk"
    )

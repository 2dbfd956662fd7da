"""What tracking missed -> MLflow: results, finished folds, and the unsent epochs of event logs."""

from collections.abc import Iterable
from pathlib import Path

import mlflow

from carvision.errors import TrackingError
from carvision.pipelines.command import command_run
from carvision.reporting.console import announce
from carvision.store.server import SERVER_ERRORS, shown_uri, unreachable
from carvision.tracking.event_log import EVENTS_FILE
from carvision.tracking.outbox.events import Delivery, pending, send_pending
from carvision.tracking.outbox.folds import deliver, is_finished
from carvision.tracking.outbox.steps import waiting

STAGE_SYNC = "sync"


def sync(folder: Path) -> int:
    """The entry point: send what MLflow lacks of the folds below ``folder``; the number of epochs.

    Of a fold that is finished that is its result as well, and its run ends FINISHED. The results of
    other steps that wait in the outbox are sent, too. Nothing is sent twice, however often this
    runs.

    Raises:
        TrackingError: the tracking server cannot be reached, or refuses; what was sent is kept.
    """
    reason = unreachable()
    if reason is not None:
        raise _no_server(reason)
    logs = sorted(folder.glob(f"*/fold*/{EVENTS_FILE}"))
    if not logs:
        announce(f"nothing to send: there are no event logs below {folder.absolute()}")
    with command_run(STAGE_SYNC, "sync"):
        # What waits in the outbox was sent before this run began.
        if left := waiting():
            raise _not_logged(left)
        epochs = sum(_send(path) for path in logs)
        mlflow.log_metric("epochs_sent", epochs)
    return epochs


def _send(path: Path) -> int:
    """Send what MLflow lacks of one fold; the number of epochs."""
    if is_finished(path.parent):
        delivered = deliver(path.parent)
        if delivered is None:
            raise _not_logged([path.parent])
        return len(delivered.epochs)
    if not pending(path):
        announce(f"{path}: MLflow has everything")
        return 0
    try:
        delivery = send_pending(path)
    except SERVER_ERRORS as error:
        raise _no_server(str(error)) from error
    except TrackingError as error:
        announce(f"{error}: left to it")
        return 0
    _announce(path, delivery)
    return len(delivery.epochs)


def _announce(path: Path, delivery: Delivery) -> None:
    if not delivery.run_id:
        announce(f"{path}: has no run yet; it gets one when its training goes on")
        return
    if delivery.gone:
        announce(
            f"{path}: skipped, {shown_uri()} has no run {delivery.run_id} (it was "
            "deleted, or belongs to another MLFLOW_TRACKING_URI)"
        )
        return
    numbers = ", ".join(str(epoch) for epoch in delivery.epochs)
    what = f"epochs {numbers}" if numbers else "no epochs"
    announce(f"{path}: sent {what} to run {delivery.run_id}")


def _not_logged(folders: Iterable[Path]) -> TrackingError:
    return TrackingError(
        f"{', '.join(map(str, folders))} could not be logged, for the reason above; it stays on "
        "the disk, and this sends it once the cause is mended"
    )


def _no_server(reason: str) -> TrackingError:
    return TrackingError(
        f"{shown_uri()} cannot be told: {reason}\nStart the server, or point "
        "MLFLOW_TRACKING_URI at it, and run this again; what is unsent stays on the disk"
    )

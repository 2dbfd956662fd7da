"""A fold whose training has ended: its result on the disk, whole, until MLflow has all of it.

``finished/`` in the fold's folder is a record (:mod:`carvision.tracking.outbox.record`): the run's
name and tags, the best epoch's metrics, and as artifacts weights and predictions. It is there from
the end of the training until all of it, and of the event log, is in the fold's run: a tracking
server that is away costs nothing. Logging can be repeated: a metric of the same value and time is
no second point, and an artifact takes the place of itself.
"""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from carvision.contracts import write_predictions
from carvision.contracts.sums import SUMS, sums_of
from carvision.errors import TrackingError
from carvision.files import alone, flush, link_or_copy, read_json, replacing_folder, write_json
from carvision.store.fold_sets import EPOCHS, PREDICTIONS, STAGE_FOLD, WEIGHTS, best_metrics
from carvision.store.runs import client, tracked_run
from carvision.store.server import require_server
from carvision.tracking.event_log import EVENTS_FILE, EventLog, read_events, run_named_in
from carvision.tracking.outbox.events import Delivery, send_pending
from carvision.tracking.outbox.record import ABOUT, ARTIFACTS, send
from carvision.training import FoldResult
from carvision.workspace import fold_lock

log = logging.getLogger(__name__)

_FINISHED = "finished"
#: Seconds before it is tried again.
_PAUSES = (1.0, 3.0)


def alone_with(folder: Path, what: str) -> AbstractContextManager[None]:
    """Hold a fold's folder.

    Raises:
        CarvisionError: another process trains or logs the fold, and so is busy with ``what``.
    """
    return alone(fold_lock(folder), what)


def write_finished(folder: Path, result: FoldResult, name: str, tags: Mapping[str, str]) -> None:
    """Write a result whole or not at all; then the checkpoints go, which nothing needs any more.

    ``name`` and ``tags`` are of the run that it is to be logged in.
    """
    about: dict[str, Any] = {
        "name": name,
        "tags": dict(tags),
        "metrics": best_metrics(result),
        "time": int(time.time() * 1000),
    }
    with replacing_folder(folder / _FINISHED) as temporary:
        weights = temporary / ARTIFACTS / WEIGHTS / result.weights.name
        weights.parent.mkdir(parents=True)
        # Not moved: until the folder is whole, training can be ended again from a checkpoint.
        link_or_copy(result.weights, weights)
        predictions = temporary / ARTIFACTS / PREDICTIONS
        write_predictions(predictions, result.predictions)
        np.save(predictions / EPOCHS, result.epochs_true_class)
        # Its run tells them: what is flipped on the way, or later, is noticed when it is read.
        about["tags"][SUMS] = sums_of(temporary / ARTIFACTS)
        write_json(temporary / ABOUT, about)
        flush(temporary)  # before what they replace is removed
    for path in (result.weights, *folder.glob("*step*")):
        path.unlink()


def is_finished(folder: Path) -> bool:
    """Whether a fold is finished and not logged."""
    return (folder / _FINISHED / ABOUT).exists()


def waiting_metrics(folder: Path) -> dict[str, float]:
    """The metrics of a finished fold that is not logged; of any other, none.

    Raises:
        TrackingError: what lies there is damaged.
    """
    if not is_finished(folder):
        return {}
    with _damage_named(folder):
        return _numbers(read_json(folder / _FINISHED / ABOUT)["metrics"])


def deliver(folder: Path) -> Delivery | None:
    """Log a finished fold in the run that it was begun in, or in a new one; then remove its files.

    Tried a few times; None, and a warning, where it is left for later.
    """
    for pause in (*_PAUSES, None):
        try:
            require_server()
            with alone_with(folder, str(folder)):
                # Another process may have been quicker.
                return _deliver(folder) if is_finished(folder) else Delivery("", (), gone=False)
        # Whatever fails here, hours of training are safe on the disk.
        except Exception as error:
            reason = error
        if pause is not None:
            time.sleep(pause)
    log.warning(
        "%s is finished and cannot be logged yet (%s); it is kept, and logged by `mlflow run . -e "
        "sync` and by the next training with these settings",
        folder,
        reason,
    )
    return None


def deliver_all(set_folder: Path) -> list[Path]:
    """Log what is finished of a fold set; the folders of what is left for later."""
    left = []
    for finished in sorted(set_folder.glob(f"fold*/{_FINISHED}")):
        if not (finished / ABOUT).exists():
            _remove(finished.parent)  # which a kill had interrupted
        elif deliver(finished.parent) is None:
            left.append(finished.parent)
    return left


def _deliver(folder: Path) -> Delivery:
    about = _about(folder)
    begun = run_named_in(read_events(folder / EVENTS_FILE))
    with tracked_run(STAGE_FOLD, about["name"], about["tags"], begun) as run:
        delivery = _log(folder, run.info.run_id)
    log.info("%s is logged, in run %s", about["name"], run.info.run_id)
    _remove(folder)
    return delivery


def _about(folder: Path) -> dict[str, Any]:
    """What ``about.json`` says of a finished fold.

    Raises:
        TrackingError: it is damaged.
    """
    with _damage_named(folder):
        about = read_json(folder / _FINISHED / ABOUT)
        texts = [about["name"], *about["tags"], *about["tags"].values(), *about["metrics"]]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a name or a tag is no text")
        return {**about, "metrics": _numbers(about["metrics"]), "time": int(about["time"])}


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrackingError(
            f"{folder / _FINISHED / ABOUT} is damaged ({error}); remove {folder}, and the fold is "
            "trained again"
        ) from error


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


def _log(folder: Path, run_id: str) -> Delivery:
    events = EventLog(folder / EVENTS_FILE, run_id)
    delivery = send_pending(events.path)
    if delivery.gone:
        raise TrackingError(f"run {run_id} was deleted meanwhile")
    send(folder / _FINISHED, run_id)
    client().log_artifact(run_id, str(events.path))
    return delivery


def _remove(folder: Path) -> None:
    # First: without it, what a kill leaves of the rest is not taken for a result.
    (folder / _FINISHED / ABOUT).unlink(missing_ok=True)
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()

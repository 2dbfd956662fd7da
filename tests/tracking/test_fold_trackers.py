"""All trackers of a fold as one."""

from pathlib import Path

from carvision.store.client import client
from carvision.store.fold_sets import STAGE_FOLD, fold_tags
from carvision.store.open_runs import tracked_run
from carvision.tracking.event_log import EPOCH, EVENTS_FILE, RUN, STARTED, read_events
from carvision.tracking.fold_trackers import fold_trackers
from carvision.workspace import TENSORBOARD
from tests.jobs import job_of
from tests.tracking_server import points

_NAMES = ("train/loss", "val/accuracy", "val/top5", "val/ece", "lr", "images_per_second")
_METRICS = dict.fromkeys((*_NAMES, "memory_gib"), 0.5) | {"val/log_loss": 2.5}


def test_with_a_run_and_without(store: Path) -> None:
    job = job_of()
    with tracked_run(STAGE_FOLD, job.name, fold_tags(job)) as run:
        for which, expected in ((None, [STARTED, EPOCH]), (run, [RUN, STARTED, EPOCH])):
            with fold_trackers(job, which) as trackers:
                trackers.run_started(job.name, 2)
                trackers.epoch_ended(1, _METRICS)
            events = read_events(job.folder / EVENTS_FILE)
            assert [event.kind for event in events][-len(expected) :] == expected
    assert points(client(), run.info.run_id) == [(1, 2.5)]
    assert list((TENSORBOARD / job.set_id / "fold1").glob("events.*"))

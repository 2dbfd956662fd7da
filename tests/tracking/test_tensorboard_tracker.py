"""What TensorBoard reads back, also after training that was interrupted."""

import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from carvision.tracking.tensorboard_tracker import TensorBoardTracker


def _points(folder: Path, tag: str) -> list[tuple[int, float]]:
    accumulator = EventAccumulator(str(folder)).Reload()
    return [(event.step, round(event.value, 4)) for event in accumulator.Scalars(tag)]


def _next_second() -> None:
    """TensorBoard orders files by their names: by the second, then by a counter, as text."""
    time.sleep(1.1)


def test_epochs_and_every_fiftieth_step(tmp_path: Path) -> None:
    with TensorBoardTracker(tmp_path) as tracker:
        tracker.run_started("fold 1", 120)
        for step in range(1, 121):
            tracker.step_ended(step, 1 / step)
        tracker.epoch_ended(1, {"val/log_loss": 0.5, "lr": 1e-3})
        tracker.epoch_ended(2, {"val/log_loss": 0.25, "lr": 1e-4})
    assert _points(tmp_path, "steps/train_loss") == [(50, 0.02), (100, 0.01)]
    assert _points(tmp_path, "val/log_loss") == [(1, 0.5), (2, 0.25)]
    assert _points(tmp_path, "lr") == [(1, 0.001), (2, 0.0001)]


def test_an_epoch_can_be_read_before_the_end(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.step_ended(1, 1.0)
    tracker.epoch_ended(1, {"val/log_loss": 0.5})
    assert _points(tmp_path, "val/log_loss") == [(1, 0.5)]
    tracker.close()
    tracker.close()


def test_steps_that_are_done_again_are_drawn_once(tmp_path: Path) -> None:
    killed = TensorBoardTracker(tmp_path)
    for step in range(1, 151):
        killed.step_ended(step, 1.0)
        if step == 75:
            killed.epoch_ended(1, {"val/log_loss": 0.5})
    killed.close()
    _next_second()
    # The last checkpoint was written after step 80.
    with TensorBoardTracker(tmp_path) as tracker:
        for step in range(81, 151):
            tracker.step_ended(step, 2.0)
        tracker.epoch_ended(2, {"val/log_loss": 0.25})
    assert _points(tmp_path, "steps/train_loss") == [(50, 1.0), (100, 2.0), (150, 2.0)]
    assert _points(tmp_path, "val/log_loss") == [(1, 0.5), (2, 0.25)]


def test_training_from_the_start_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for loss in (0.5, 0.25):
        _next_second()
        with TensorBoardTracker(tmp_path) as tracker:
            for step in range(1, 51):
                tracker.step_ended(step, loss)
            tracker.epoch_ended(1, {"val/log_loss": loss})
    assert _points(tmp_path, "steps/train_loss") == [(50, 0.25)]
    assert _points(tmp_path, "val/log_loss") == [(1, 0.25)]


def test_nothing_reported_writes_nothing(tmp_path: Path) -> None:
    with TensorBoardTracker(tmp_path / "tensorboard") as tracker:
        tracker.run_started("fold 1", 10)
    assert not (tmp_path / "tensorboard").exists()

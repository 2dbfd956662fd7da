"""``train.batch_size=auto``: what fits is taken and kept, and the search leaves no trace."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from carvision.inference import ComputeSettings
from carvision.models import build_model
from carvision.training import auto_batch_size, learner, train_fold
from carvision.training.auto_batch_size import bytes_saved_for_backward, largest_batch
from tests.training.conftest import Data, Recorder, job_in, tiny

AUTO = tiny("train.batch_size=auto train.epochs=1")


def _largest(photos: int = 1000, overrides: str = "") -> int:
    config = tiny(f"train.batch_size=auto {overrides}")
    return largest_batch(config, 3, ComputeSettings.of(config), photos)


@pytest.fixture
def room_for(monkeypatch: pytest.MonkeyPatch):
    """Try, as on a GPU, on a device that takes no more than so many images at a time."""

    def limit(images: int) -> list[int]:
        tried: list[int] = []

        def limited_model(*arguments, **named):
            network = build_model(*arguments, **named)
            forward = network.forward

            def limited(pixels):
                tried.append(len(pixels))
                if len(pixels) > images:
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return forward(pixels)

            network.forward = limited
            return network

        monkeypatch.setattr(learner, "build_model", limited_model)
        monkeypatch.setattr(
            auto_batch_size, "largest_by_estimate", auto_batch_size.largest_by_trial
        )
        return tried

    return limit


@pytest.mark.parametrize(
    ("room", "found"), [(4, 2), (5, 2), (6, 4), (9, 4), (10, 8), (19, 8), (20, 16), (39, 16)]
)
def test_a_device_has_room_for_a_quarter_more(room_for, room: int, found: int) -> None:
    tried = room_for(room)
    assert _largest() == found
    # Nothing is tried beyond the first size that fails.
    assert sum(images > room for images in tried) == 1


def test_an_update_that_has_no_room_does_not_fit(room_for, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = room_for(1000)
    step = torch.optim.AdamW.step

    def limited(self):
        if tried[-1] > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", limited)
    assert _largest() == 8


def test_accumulated_batches_are_in_memory_together(room_for) -> None:
    tried = room_for(9)
    assert _largest(overrides="train.accumulation=3 mixing.mixup_alpha=1.0") == 4
    assert tried[:6] == [4] * 3 + [6] * 3


@pytest.mark.parametrize(
    ("photos", "accumulation", "found"), [(63, 1, 32), (64, 1, 64), (64, 4, 16), (3, 4, 2)]
)
def test_no_step_needs_more_than_the_photos(photos: int, accumulation: int, found: int) -> None:
    assert _largest(photos, f"train.accumulation={accumulation}") == found


def test_on_a_cpu_it_follows_the_memory_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for gib in (0.0, 0.05, 0.1, 0.2, 10_000.0):
        monkeypatch.setattr(auto_batch_size, "available_memory", lambda gib=gib: gib * 2**30)
        found.append(_largest(10_000))
    assert found[0] == 2
    assert found[-1] == 256
    # Twice the memory, twice the batch, but for what the gradients take.
    assert 2 < found[1] < found[2] < found[3] < 256
    monkeypatch.setattr(auto_batch_size, "available_memory", lambda: 0.2 * 2**30)
    # Activations grow with the area; an average of the weights is there before.
    assert _largest(10_000, "model.image_size=64 train.image_size=64") == found[3] // 4


def test_what_is_saved_for_the_backward_pass_is_counted() -> None:
    """Against the same count of a network whose activations are known."""
    network = torch.nn.Sequential(torch.nn.Linear(50, 70), torch.nn.Tanh(), torch.nn.Linear(70, 9))
    four, two = (
        bytes_saved_for_backward(lambda n=n: network(torch.zeros(n, 50)).sum().backward())
        for n in (4, 2)
    )
    # The first layer's input and tanh's output, which the second layer shares.
    assert (four - two) / 2 == 4 * (50 + 70)


def test_it_is_said_and_the_random_state_stays(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(4), np.random.random()
    torch.manual_seed(3)
    np.random.seed(3)
    with caplog.at_level(logging.INFO, "carvision"):
        found = _largest(16, "mixing.mixup_alpha=1.0 model.drop_rate=0.5")
    assert torch.equal(torch.rand(4), expected[0])
    assert np.random.random() == expected[1]
    assert f"train.batch_size=auto takes {found} images; optimizer.lr stays 0.00" in caplog.text


def test_a_fold_trains_as_with_that_number(data: Data, tmp_path: Path) -> None:
    """The search leaves weights, batch norm, optimiser and random states as they would be."""
    auto, number = Recorder(), Recorder()
    found = train_fold(job_in(tmp_path / "auto", data, AUTO), auto)
    # 24 photos to train on.
    assert found.batch_size == 16
    config = tiny("train.batch_size=16 train.epochs=1")
    same = train_fold(job_in(tmp_path / "number", data, config), number)
    assert auto.steps == number.steps
    assert found.metrics == same.metrics
    np.testing.assert_array_equal(
        found.predictions.log_probabilities, same.predictions.log_probabilities
    )


def test_a_fold_keeps_what_it_began_with(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class _Stopping(Recorder):
        def step_ended(self, step: int, loss: float) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fold(job_in(tmp_path, data, AUTO), _Stopping())
    monkeypatch.setattr(auto_batch_size, "available_memory", lambda: 0)
    # Nor does it take what the other folds have.
    result = train_fold(job_in(tmp_path, data, AUTO), Recorder(), 4)
    assert result.batch_size == 16


def test_a_fold_takes_what_the_set_has(data: Data, tmp_path: Path) -> None:
    result = train_fold(job_in(tmp_path, data, AUTO), Recorder(), 4)
    assert result.batch_size == 4
    number = tiny("train.batch_size=8 train.max_steps=1")
    result = train_fold(job_in(tmp_path / "2", data, number, 2), Recorder(), 4)
    assert result.batch_size == 8

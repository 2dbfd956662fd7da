"""Learning rates: warm-up, the cosine's ends, and torch's own warm restarts."""

from typing import Any

import numpy as np
import pytest
import torch

from carvision.config import load_config
from carvision.config.schema import ScheduleConfig
from carvision.training.learning_rate import lr_factor


def _schedule(**values: Any) -> ScheduleConfig:
    given = {"name": "cosine", "warmup_epochs": 0.0, "t_0": 10, "t_mult": 2, "eta_min": 0.0}
    return ScheduleConfig(**(given | values))


def _factors(
    schedule: ScheduleConfig, epochs: int, steps_per_epoch: int = 10, floor: float = 0.0
) -> np.ndarray:
    total = epochs * steps_per_epoch
    return np.array([lr_factor(s, steps_per_epoch, total, schedule, floor) for s in range(total)])


@pytest.mark.parametrize("name", ["cosine", "cosine_restarts"])
@pytest.mark.parametrize(("warmup", "steps"), [(1.0, 10), (0.5, 5), (2.0, 20), (0.14, 1)])
def test_warm_up_is_a_line_to_the_peak(name: str, warmup: float, steps: int) -> None:
    factors = _factors(_schedule(name=name, warmup_epochs=warmup), epochs=8)
    np.testing.assert_allclose(factors[:steps], np.arange(1, steps + 1) / steps)
    assert factors[steps] == 1.0
    assert factors[steps + 1] < 1.0


def test_without_warm_up_the_peak_comes_first() -> None:
    assert _factors(_schedule(), epochs=3)[0] == 1.0


def test_warm_up_takes_no_more_than_half_of_a_short_run() -> None:
    factors = _factors(_schedule(warmup_epochs=5.0), epochs=2)
    assert factors.argmax() == 9
    assert factors[9] == 1.0


@pytest.mark.parametrize("total", [1, 2, 3])
def test_a_run_of_few_steps_learns(total: int) -> None:
    schedule = _schedule(warmup_epochs=1.0)
    factors = [lr_factor(step, 50, total, schedule, 0.0) for step in range(total)]
    assert min(factors) > 0.2
    assert max(factors) == 1.0


@pytest.mark.parametrize("floor", [0.0, 0.01, 0.3])
def test_a_cosine_falls_to_the_floor(floor: float) -> None:
    factors = _factors(_schedule(warmup_epochs=1.0), epochs=10, steps_per_epoch=50, floor=floor)
    assert (np.diff(factors[49:]) <= 0).all()
    assert floor <= factors[-1] < floor + 1e-3
    # Half way through the cosine it is half way down.
    assert factors[50 + 225] == pytest.approx((1 + floor) / 2)


@pytest.mark.parametrize(("t_0", "t_mult"), [(10, 2), (3, 1), (1, 3)])
@pytest.mark.parametrize("steps_per_epoch", [1, 7])
def test_warm_restarts_are_torchs(t_0: int, t_mult: int, steps_per_epoch: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.2)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, t_0, t_mult, eta_min=0.002
    )
    schedule = _schedule(name="cosine_restarts", t_0=t_0, t_mult=t_mult)
    ours = 0.2 * _factors(schedule, 32, steps_per_epoch, floor=0.01)
    for step, rate in enumerate(ours):
        theirs.step(step / steps_per_epoch)
        assert rate == pytest.approx(theirs.get_last_lr()[0], abs=1e-9), step


def test_the_plans_schedule_restarts_after_10_and_30_epochs() -> None:
    schedule = load_config(recipe="plan").schedule
    factors = _factors(schedule, epochs=40, steps_per_epoch=5, floor=1e-4)
    peaks = np.flatnonzero(np.diff(factors, prepend=0) > 0)
    assert peaks.tolist() == [0, 10 * 5, 30 * 5]
    np.testing.assert_allclose(factors[peaks], 1.0)
    assert factors[[49, 149]].max() < 0.03

"""The learning rate over time: the schedule, and the scheduler that applies it."""

from collections.abc import Callable
from math import cos, pi

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from carvision.config.schema import ScheduleConfig


def schedule_learning_rate(optimizer: Optimizer, factor: Callable[[int], float]) -> LambdaLR:
    """Let a scheduler set each parameter group's learning rate to its peak times ``factor(step)``.

    The peaks are the groups' present rates. Steps count from 0; the scheduler's ``step()`` follows
    each of the optimiser's.
    """
    return LambdaLR(optimizer, factor)


def constant_lr(step: int) -> float:
    """A learning rate that stays at its peak."""
    return 1.0


def lr_factor(
    step: int, steps_per_epoch: int, total_steps: int, schedule: ScheduleConfig, floor: float
) -> float:
    """The factor at ``step`` (from 0) of ``total_steps``; ``floor`` is ``eta_min / lr``.

    Linear warm-up, then a cosine that reaches ``floor`` after the last step, or a cosine with warm
    restarts (Loshchilov, Hutter, arXiv 1608.03983).
    """
    warmup = min(round(schedule.warmup_epochs * steps_per_epoch), total_steps // 2)
    if step < warmup:
        return (step + 1) / warmup
    if schedule.name == "cosine":
        progress = (step - warmup) / max(1, total_steps - warmup)
    else:
        progress = _restart_progress(
            (step - warmup) / steps_per_epoch, schedule.t_0, schedule.t_mult
        )
    return floor + (1 - floor) * (1 + cos(pi * progress)) / 2


def _restart_progress(epoch: float, period: int, factor: int) -> float:
    """The share of its restart period that has passed at ``epoch``, from 0 to 1."""
    while epoch >= period:
        epoch -= period
        period *= factor
    return epoch / period

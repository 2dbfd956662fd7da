"""The learning rate over time, as a factor of each parameter group's peak."""

from math import cos, pi

from carvision.config.schema import ScheduleConfig


def lr_factor(
    step: int, steps_per_epoch: int, total_steps: int, schedule: ScheduleConfig, floor: float
) -> float:
    """The factor at ``step`` (from 0) of ``total_steps``; ``floor`` is ``eta_min / lr``.

    Linear warm-up, then a cosine that reaches ``floor`` after the last step, or a cosine with warm
    restarts (Loshchilov, Hutter, arXiv 1608.03983). ``LambdaLR`` applies it in
    :class:`~carvision.training.learner.Learner`.
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

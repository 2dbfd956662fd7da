"""Divergence: losses that a training cannot recover from."""

from collections.abc import Sequence
from math import isfinite, log

from carvision.errors import DivergedError
from carvision.training.job import FoldJob
from carvision.training.train_state import TrainState

#: How many times the loss of a uniform guess counts as exploded.
_EXPLODED = 1000


def has_diverged(loss: float, classes: int) -> bool:
    """Whether a loss over ``classes`` is not finite, or too large to come down again."""
    return not isfinite(loss) or loss >= _EXPLODED * max(1.0, log(classes))


def divergence_error(
    job: FoldJob, state: TrainState, what: str, value: float, image_ids: Sequence[str] = ()
) -> DivergedError:
    """The error that ``what`` became ``value`` in the step, whose batch held ``image_ids``."""
    batch = f"; the batch held {', '.join(image_ids)}" if image_ids else ""
    return DivergedError(
        f"{job.name}: the {what} became {value} in epoch {state.epoch}, step {state.step}; "
        f"try a smaller optimizer.lr (now {job.config.optimizer.lr}) or precision=fp32{batch}"
    )

"""Losses that training does not come back from."""

from collections.abc import Sequence
from math import isfinite
from math import log as ln

from carvision.config import Config
from carvision.errors import DivergedError

#: Times the loss of a guess.
_EXPLODED = 1000


def is_sound(loss: float, classes: int) -> bool:
    """Whether a loss over ``classes`` is a number that training can still bring down."""
    return isfinite(loss) and loss < _EXPLODED * max(1.0, ln(classes))


def ruined(
    what: str,
    value: float,
    *,
    config: Config,
    fold: int,
    epoch: int,
    step: int,
    images: Sequence[str] = (),
) -> DivergedError:
    """The error for ``what`` (the loss, a prediction) that became ``value`` with ``images``."""
    held = f"; the batch held {', '.join(images)}" if images else ""
    return DivergedError(
        f"{config.name} fold {fold}: the {what} became {value} in epoch {epoch}, step {step}; "
        f"try a smaller optimizer.lr (now {config.optimizer.lr}) or precision=fp32{held}"
    )

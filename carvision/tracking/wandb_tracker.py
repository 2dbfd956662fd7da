"""A tracker that writes a fold's training to Weights & Biases, where ``tracking.wandb`` says so.

wandb is not among the dependencies, and is imported only where it is used.
"""

import importlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from carvision.contracts import Tracker, TrackerGroup
from carvision.errors import ConfigError
from carvision.tracking.closing_tracker import ClosingTracker
from carvision.tracking.event_log import STEPS_APART

log = logging.getLogger(__name__)

WandbMode = Literal["online", "offline", False]
PROJECT: Final = "carvision"

#: How long the end of a run waits for the upload; ``wandb sync`` sends the rest.
_FINISH_SECONDS = 60
_INIT_SECONDS = 60
_STEP, _EPOCH = "step", "epoch"
_STEP_LOSS = "steps/train_loss"


def check_wandb(mode: WandbMode) -> None:
    """Check before training that it can be written to W&B.

    Raises:
        ConfigError: wandb is not installed or, for ``online``, has no account to log in to.
    """
    if mode is False:
        return
    wandb = _wandb(mode)
    if mode == "offline":
        return
    try:
        # Asks for a key where there is a terminal.
        logged_in = wandb.login(verify=True, timeout=_INIT_SECONDS)
    except Exception as error:  # of wandb's own kinds, which differ by version
        raise ConfigError(_no_login(str(error))) from error
    if not logged_in:
        raise ConfigError(_no_login("no login"))


@dataclass(frozen=True)
class WandbRun:
    """What W&B is told of a run when it starts; ``group`` holds the folds of a set together."""

    id: str
    name: str
    group: str
    settings: Mapping[str, Any]


class WandbTracker(ClosingTracker):
    """One W&B run a fold; offline it is written below ``folder``.

    An error of W&B is logged once, and never stops training.
    """

    def __init__(
        self, mode: Literal["online", "offline"], described: WandbRun, folder: Path
    ) -> None:
        self._run: Any = None
        self._failed = False
        wandb = _wandb(mode)
        folder.mkdir(parents=True, exist_ok=True)

        def start() -> None:
            self._run = wandb.init(
                mode=mode,
                project=PROJECT,
                id=described.id,
                # A fold that goes on is the same run; offline it cannot be looked up.
                resume="allow" if mode == "online" else None,
                name=described.name,
                group=described.group,
                config=dict(described.settings),
                dir=str(folder),
                settings=wandb.Settings(
                    # The terminal is rich's own.
                    console="off",
                    silent=True,
                    init_timeout=_INIT_SECONDS,
                    finish_timeout=_FINISH_SECONDS,
                ),
            )
            self._run.define_metric(_STEP)
            self._run.define_metric(_STEP_LOSS, step_metric=_STEP)
            self._run.define_metric(_EPOCH)

        self._guarded(start)

    def step_ended(self, step: int, loss: float) -> None:
        if step % STEPS_APART == 0:
            self._guarded(lambda: self._run.log({_STEP_LOSS: loss, _STEP: step}))

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        def send() -> None:
            for name in metrics:
                self._run.define_metric(name, step_metric=_EPOCH)
            self._run.log({**metrics, _EPOCH: epoch})

        self._guarded(send)

    def warning(self, message: str) -> None:
        self._guarded(lambda: self._run.summary.update({"warning": message}))

    def close(self, *, failed: bool = False) -> None:
        self._guarded(lambda: self._run.finish(exit_code=int(failed)))
        self._failed = True  # the run takes nothing after its end

    def _guarded(self, action: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # of wandb's own kinds; training goes on after any
            self._failed = True
            log.warning("nothing more of this fold is written to W&B: %s", error)


def wandb_tracker(
    mode: WandbMode, described: WandbRun, folder: Path
) -> AbstractContextManager[Tracker]:
    """The tracker that ``tracking.wandb`` asks for; one that does nothing where it is off."""
    return nullcontext(TrackerGroup([])) if mode is False else WandbTracker(mode, described, folder)


def _wandb(mode: str) -> Any:
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise ConfigError(
            f"tracking.wandb={mode}: wandb cannot be imported ({error}); install it with "
            "`pip install wandb`, or set tracking.wandb=off"
        ) from None


def _no_login(reason: str) -> str:
    return (
        f"tracking.wandb=online: {reason.rstrip('.')}; log in with `wandb login`, or set "
        "tracking.wandb=offline and send the runs later with `wandb sync`"
    )

"""A fold's training as Weights & Biases shows it, where ``tracking.wandb`` asks for it.

wandb is not among the dependencies: it is imported when it is asked for, and not before.
"""

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from carvision.contracts import Tracker
from carvision.errors import ConfigError
from carvision.tracking.event_log import STEPS_APART

log = logging.getLogger(__name__)

WandbMode = Literal["online", "offline", False]
PROJECT: Final = "carvision"

#: How long the end of a run waits for what is not uploaded; ``wandb sync`` sends the rest.
_FINISH_SECONDS = 60
_INIT_SECONDS = 60
_STEP, _EPOCH = "step", "epoch"
_STEP_LOSS = "steps/train_loss"


def check_wandb(mode: WandbMode) -> None:
    """Refuse before training what would leave W&B without it.

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


class WandbTracker(Tracker):
    """One W&B run a fold, named by ``run_id``; offline it is written below ``folder``.

    W&B that fails is told of once, and never stops training.
    """

    def __init__(
        self,
        mode: Literal["online", "offline"],
        *,
        run_id: str,
        name: str,
        group: str,
        settings: Mapping[str, Any],
        folder: Path,
    ) -> None:
        self._run: Any = None
        self._failed = False
        wandb = _wandb(mode)
        folder.mkdir(parents=True, exist_ok=True)

        def start() -> None:
            self._run = wandb.init(
                mode=mode,
                project=PROJECT,
                id=run_id,
                # A fold that goes on is the same run; offline there is nothing to look it up in.
                resume="allow" if mode == "online" else None,
                name=name,
                group=group,
                config=dict(settings),
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(failed=error is not None)

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
        """End the run."""
        self._guarded(lambda: self._run.finish(exit_code=int(failed)))
        # What comes after the end is not told to anybody.
        self._failed = True

    def _guarded(self, action: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            action()
        except Exception as error:  # of wandb's own kinds, and none is worth a night's training
            self._failed = True
            log.warning("W&B is told nothing more of this fold: %s", error)


@contextmanager
def wandb_trackers(mode: WandbMode, **described: Any) -> Iterator[list[WandbTracker]]:
    """The tracker that ``tracking.wandb`` asks for, in a list; none where it is off."""
    if mode is False:
        yield []
        return
    with WandbTracker(mode, **described) as tracker:
        yield [tracker]


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

"""W&B through a stand-in module: what it is told, and that it never stops training."""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from carvision.config import load_config
from carvision.errors import ConfigError
from carvision.tracking.wandb_tracker import WandbRun, WandbTracker, check_wandb, wandb_tracker


class _Run:
    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []
        self.metrics: dict[str, str | None] = {}
        self.summary: dict[str, str] = {}
        self.exit_code: int | None = None
        self.broken = False

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.metrics[name] = step_metric

    def log(self, values: dict[str, float]) -> None:
        if self.broken:
            raise OSError("the service is gone")
        self.logged.append(values)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


class _Wandb(SimpleNamespace):
    """As much of the module as is used."""

    def __init__(self) -> None:
        super().__init__(run=_Run(), asked={}, key=True, Settings=SimpleNamespace)

    def init(self, **arguments: Any) -> _Run:
        self.asked = arguments
        if not self.key:
            raise RuntimeError("no network")
        return self.run

    def login(self, **arguments: Any) -> bool:
        if not self.key:
            raise RuntimeError("No API key configured.")
        return True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> _Wandb:
    module = _Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


_DESCRIBED = WandbRun("abc", "fold 1", "set", {"seed": 1})


def _tracker(folder: Path, mode: Any = "offline") -> WandbTracker:
    return WandbTracker(mode, _DESCRIBED, folder)


def test_what_it_is_told(wandb: _Wandb, tmp_path: Path) -> None:
    with _tracker(tmp_path / "wandb") as tracker:
        tracker.run_started("fold 1", 100)
        for step in range(1, 101):
            tracker.step_ended(step, 0.5)
        tracker.epoch_ended(1, {"val/log_loss": 0.25})
        tracker.warning("it overfits")
    assert wandb.run.logged == [
        {"steps/train_loss": 0.5, "step": 50},
        {"steps/train_loss": 0.5, "step": 100},
        {"val/log_loss": 0.25, "epoch": 1},
    ]
    assert wandb.run.metrics["val/log_loss"] == "epoch"
    assert wandb.run.summary == {"warning": "it overfits"}
    assert wandb.run.exit_code == 0
    asked = {key: wandb.asked[key] for key in ("mode", "id", "name", "group", "config", "resume")}
    assert asked == {
        "mode": "offline",
        "id": "abc",
        "name": "fold 1",
        "group": "set",
        "config": {"seed": 1},
        "resume": None,
    }
    assert Path(wandb.asked["dir"]).is_dir()


def test_a_fold_that_goes_on_is_the_same_run(wandb: _Wandb, tmp_path: Path) -> None:
    _tracker(tmp_path, "online")
    assert (wandb.asked["id"], wandb.asked["resume"]) == ("abc", "allow")


def test_an_error_in_training_is_told(wandb: _Wandb, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), _tracker(tmp_path):
        raise KeyboardInterrupt
    assert wandb.run.exit_code == 1


def test_only_where_it_is_asked_for(wandb: _Wandb, tmp_path: Path) -> None:
    with wandb_tracker(False, _DESCRIBED, tmp_path) as tracker:
        tracker.epoch_ended(1, {"val/log_loss": 0.5})
    assert (wandb.asked, wandb.run.logged) == ({}, [])
    with wandb_tracker("offline", _DESCRIBED, tmp_path) as tracker:
        tracker.epoch_ended(1, {"val/log_loss": 0.25})
    assert wandb.run.logged == [{"val/log_loss": 0.25, "epoch": 1}]
    assert wandb.run.exit_code == 0


def test_it_fails_once_and_quietly(
    wandb: _Wandb, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = _tracker(tmp_path)
    wandb.run.broken = True
    with caplog.at_level(logging.WARNING):
        for epoch in (1, 2, 3):
            tracker.epoch_ended(epoch, {"val/log_loss": 1.0})
        tracker.close()
    assert (
        caplog.text.count("nothing more of this fold is written to W&B: the service is gone") == 1
    )


def test_a_start_that_fails_stops_nothing(
    wandb: _Wandb, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.key = False
    with caplog.at_level(logging.WARNING), _tracker(tmp_path, "online") as tracker:
        tracker.epoch_ended(1, {"val/log_loss": 1.0})
    assert caplog.text.count("no network") == 1


def test_the_check(wandb: _Wandb) -> None:
    check_wandb("online")
    wandb.key = False
    check_wandb("offline")
    with pytest.raises(ConfigError, match=r"No API key configured; log in with `wandb login`"):
        check_wandb("online")


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_not_installed(mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    check_wandb(False)
    with pytest.raises(ConfigError, match="pip install wandb"):
        check_wandb(mode)
    with pytest.raises(ConfigError, match="pip install wandb"):
        _tracker(tmp_path, mode)


def test_the_setting() -> None:
    assert load_config().tracking.wandb is False
    assert load_config(overrides="tracking.wandb=off").tracking.wandb is False
    config = load_config(overrides="tracking.wandb=offline")
    assert config.tracking.wandb == "offline"
    with pytest.raises(ConfigError, match=r"tracking\.wandb"):
        load_config(overrides="tracking.wandb=sometimes")

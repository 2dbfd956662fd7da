"""The best weights of a checkpoint: damaged, missing or newer ones are not used."""

from pathlib import Path

import pytest
from safetensors import SafetensorError
from safetensors.torch import load_file

from carvision.errors import CarvisionError
from carvision.training import best_checkpoint, newest_checkpoint
from tests.training.conftest import Data, Recorder, assert_same, tiny, train_in

#: A checkpoint an epoch, of three steps, each better than the one before.
LEARNING = "train.epochs=3 optimizer.lr=0.001 schedule.warmup_epochs=0 train.ema_decay=null"


def _stopped_after_two_epochs(data: Data, folder: Path) -> list[Path]:
    """Two checkpoints, each of which names its own epoch as the best."""

    class _Failing(Recorder):
        def step_ended(self, step: int, loss: float) -> None:
            # The first one of the third epoch. Ctrl-C would leave a third checkpoint.
            if step == 7:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train_in(data, tiny(LEARNING), folder, _Failing())
    return sorted(folder.glob("step*.pt"))


@pytest.mark.parametrize("damage", ["flipped", "gone", "of another epoch"])
def test_damaged_best_weights_fall_back_to_a_checkpoint_that_fits(
    data: Data, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    older, newest = _stopped_after_two_epochs(data, tmp_path)
    first, second = sorted(tmp_path.glob("best-epoch*.safetensors"))
    if damage == "flipped":
        content = second.read_bytes()
        second.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "gone":
        second.unlink()
    else:
        second.write_bytes(first.read_bytes())
    with caplog.at_level("INFO", "carvision"):
        result = train_in(data, tiny(LEARNING), tmp_path)
    assert f"{second}, the best weights of a checkpoint, is damaged or gone" in caplog.text
    assert f"{newest} is broken and passed over" in caplog.text
    assert f"going on from {older}" in caplog.text
    assert_same(result, train_in(data, tiny(LEARNING), tmp_path / "whole"))


def test_a_kill_between_best_weights_and_checkpoint(data: Data, tmp_path: Path) -> None:
    """The new best is there, the checkpoint that names it is not: the old one must be, too."""
    _, newest = _stopped_after_two_epochs(data, tmp_path)
    assert len(list(tmp_path.glob("best-epoch*.safetensors"))) == 2
    newest.unlink()
    # What the new epoch trains is to be chosen against the old best, whose weights are these.
    state = newest_checkpoint(tmp_path)[1]["best"]["best"]
    assert (state["epoch"], state["weights"]) == (1, "best-epoch0001.safetensors")
    found, whole = (train_in(data, tiny(LEARNING), tmp_path / name) for name in ("", "whole"))
    assert_same(found, whole)


def test_best_weights_go_when_no_checkpoint_names_them(data: Data, tmp_path: Path) -> None:
    seen = []

    class _Looking(Recorder):
        def step_ended(self, step: int, loss: float) -> None:
            seen.append(len(list(tmp_path.glob("best-epoch*"))))

    config = tiny(f"{LEARNING} train.epochs=6")
    result = train_in(data, config, tmp_path, _Looking())
    assert result.best_epoch >= 5, "the test needs a network that gets better"
    assert max(seen) == 3
    assert load_file(result.weights).keys()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("full")])
def test_a_full_disk_at_the_best_weights(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(state, path) -> None:
        path.write_bytes(b"half of it")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(best_checkpoint, "save_file", full)
        with pytest.raises(CarvisionError, match=r"best weights .* cannot be written: .*make room"):
            train_in(data, tiny(LEARNING), tmp_path)
    found, whole = (train_in(data, tiny(LEARNING), tmp_path / name) for name in ("", "whole"))
    assert_same(found, whole)

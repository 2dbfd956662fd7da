"""Training that was stopped at any moment goes on to the same weights, bit by bit."""

import logging
import os
import random
import signal
import time
from dataclasses import replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from carvision.config import Config, SplitSettings
from carvision.contracts import ClassMap
from carvision.data.preparation.build import divided
from carvision.errors import CarvisionError, ConfigError
from carvision.models import build_model
from carvision.training import FoldResult, train_fold
from tests.training.conftest import Data, Recorder, assert_same, job_in, tiny, train_in

#: How often the killing test kills; the whole check of a change kills twenty times.
KILLS = int(os.environ.get("CARVISION_KILLS", "3"))

#: All that has a state: dropout, mixing, the average, momentum, a schedule; a checkpoint a step.
EVERYTHING = (
    "train.epochs=3 train.batch_size=4 train.checkpoint_minutes=0.0000001 model.drop_rate=0.3 "
    "mixing.mixup_alpha=0.4 mixing.cutmix_alpha=1.0 train.head_first_epochs=1 "
    "train.accumulation=2 augmentation.dropout.p=0.5"
)


class _Interrupting(Recorder):
    """Interrupts at the end of a step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def step_ended(self, step: int, loss: float) -> None:
        super().step_ended(step, loss)
        if step == self._at:
            raise KeyboardInterrupt


class _Timed(Recorder):
    """Records when the first step ended, and the seconds from then to the end."""

    first: float
    seconds: float

    def step_ended(self, step: int, loss: float) -> None:
        super().step_ended(step, loss)
        if step == 1:
            self.first = time.monotonic()


@pytest.fixture(scope="module")
def uninterrupted(data: Data, tmp_path_factory) -> tuple[FoldResult, _Timed]:
    recorder = _Timed()
    result = train_in(data, tiny(EVERYTHING), tmp_path_factory.mktemp("whole"), recorder)
    recorder.seconds = time.monotonic() - recorder.first
    return result, recorder


@pytest.mark.parametrize("step", [1, 2, 3, 5, 9])
def test_ctrl_c_at_a_step(data: Data, uninterrupted, tmp_path: Path, step: int) -> None:
    result, whole = uninterrupted
    first, second = _Interrupting(step), Recorder()
    with pytest.raises(KeyboardInterrupt):
        train_in(data, tiny(EVERYTHING), tmp_path, first)
    resumed = train_in(data, tiny(EVERYTHING), tmp_path, second)
    assert_same(resumed, result)
    # No step is trained twice, and each epoch reports the loss of the whole epoch.
    assert [s for s, _ in first.steps + second.steps] == [s for s, _ in whole.steps]
    assert [loss for _, loss in first.steps + second.steps] == [loss for _, loss in whole.steps]
    timings = {"images_per_second", "memory_gib"}
    for (epoch, metrics), (wanted_epoch, wanted) in zip(
        first.epochs + second.epochs, whole.epochs, strict=True
    ):
        assert epoch == wanted_epoch
        assert {k: v for k, v in metrics.items() if k not in timings} == {
            k: v for k, v in wanted.items() if k not in timings
        }


def test_with_worker_processes_it_goes_on_the_same(
    data: Data, uninterrupted, tmp_path: Path
) -> None:
    config = tiny(EVERYTHING + " loader.workers=2")
    with pytest.raises(KeyboardInterrupt):
        train_in(data, config, tmp_path, _Interrupting(4))
    assert_same(train_in(data, config, tmp_path), uninterrupted[0])


def _run_in_a_process(data: Data, folder: Path) -> None:
    torch.set_num_threads(1)
    train_in(data, tiny(EVERYTHING), folder)


def _newest_step(folder: Path) -> int:
    return max((int(path.stem.removeprefix("step")) for path in folder.glob("step*.pt")), default=0)


def _is_killed(data: Data, folder: Path, seconds: float) -> bool:
    """Train on in a process, and kill it so long after its first step; unless it ended before."""
    before = _newest_step(folder)
    process = get_context("spawn").Process(target=_run_in_a_process, args=(data, folder))
    process.start()
    while process.is_alive() and _newest_step(folder) == before:
        time.sleep(0.005)
    process.join(seconds)
    process.kill()
    process.join()
    # A process that ended by itself has its own status.
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == -signal.SIGKILL


def test_killed_at_random_moments(data: Data, uninterrupted, tmp_path: Path) -> None:
    """SIGKILL, again and again, wherever it strikes: in a step, in validation, in a checkpoint."""
    result, whole = uninterrupted
    seed = time.time_ns()
    generator = random.Random(seed)
    logging.getLogger(__name__).warning("seed %d", seed)
    folders = (tmp_path / str(number) for number in count())
    folder = next(folders)
    killed_at: list[int] = []
    while len(killed_at) < KILLS:
        left = whole.seconds * (1 - _newest_step(folder) / whole.planned)
        # The first in the first half: the next one in the same folder comes later.
        seconds = generator.uniform(0, left if killed_at else left / 2)
        killed = _is_killed(data, folder, seconds)
        if killed:
            killed_at.append(_newest_step(folder))
        if not killed or killed_at[-1] == whole.planned:
            assert_same(train_in(data, tiny(EVERYTHING), folder), result)
            folder = next(folders)
    assert len(set(killed_at)) > 1 or KILLS == 1, killed_at
    assert_same(train_in(data, tiny(EVERYTHING), folder), result)


def _stopped(data: Data, folder: Path, step: int = 4, config: Config | None = None) -> list[Path]:
    """The checkpoints of a training that was stopped, the oldest first."""
    with pytest.raises(KeyboardInterrupt):
        train_in(data, config or tiny(EVERYTHING), folder, _Interrupting(step))
    return sorted(folder.glob("step*.pt"))


@pytest.mark.parametrize("damage", ["cut", "flipped", "no sum", "empty"])
def test_a_broken_checkpoint_falls_back_to_the_one_before(
    data: Data, uninterrupted, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    older, newest = _stopped(data, tmp_path)
    content = newest.read_bytes()
    middle = len(content) // 2
    if damage == "cut":
        newest.write_bytes(content[:middle])
    elif damage == "flipped":
        flipped = bytes([content[middle] ^ 1])
        newest.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    elif damage == "no sum":
        newest.with_suffix(".sha256").unlink()
    else:
        newest.write_bytes(b"")
    with caplog.at_level("INFO", "carvision"):
        result = train_in(data, tiny(EVERYTHING), tmp_path)
    assert f"{newest} is broken and passed over" in caplog.text
    assert f"going on from {older}" in caplog.text
    assert_same(result, uninterrupted[0])


@pytest.mark.parametrize("step", [1, 2, 5])
def test_memory_that_runs_out_in_an_update(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Half of the weights may have moved: training goes on from the last checkpoint."""
    config = tiny(f"{EVERYTHING} train.batch_size=8 train.accumulation=1")
    sizes: list[int] = []
    update = torch.optim.AdamW.step

    def counted_model(*arguments, **named):
        network = build_model(*arguments, **named)
        forward = network.forward

        def counted(pixels):
            if network.training:
                sizes.append(len(pixels))
            return forward(pixels)

        network.forward = counted
        return network

    def short(self) -> None:
        update(self)
        if len(sizes) == step:
            raise torch.OutOfMemoryError("CUDA out of memory")

    recorder = Recorder()
    with monkeypatch.context() as patch:
        patch.setattr("carvision.training.learner.build_model", counted_model)
        patch.setattr(torch.optim.AdamW, "step", short)
        train_in(data, config, tmp_path, recorder)
    # The step is done again, and no other one: each had a checkpoint, but the first epoch's start.
    assert sizes == [8] * step + [4] * 2 * (10 - step)
    assert [s for s, _ in recorder.steps] == list(range(1, 10))
    (warning,) = [text for text in recorder.warnings if "out of memory" in text]
    assert "from the last checkpoint with 4 images at a time" in warning


def test_two_checkpoints_are_kept_and_no_litter(data: Data, tmp_path: Path) -> None:
    checkpoints = _stopped(data, tmp_path, step=8)
    assert [path.name for path in checkpoints] == ["step00000007.pt", "step00000008.pt"]
    # What a kill in the middle of writing leaves.
    for name in (".step00000009.pt.x.pt", ".best-epoch0003.safetensors.x.safetensors"):
        (tmp_path / name).write_bytes(b"half")
    train_in(data, tiny(EVERYTHING), tmp_path)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("optimizer.lr=0.0007", f"optimizer.lr: {tiny().optimizer.lr} → 0.0007"),
        ("seed=3", "seed: 0 → 3"),
        ("loss.name=focal", "loss.name: cross_entropy → focal"),
        ("precision=bf16", "precision: fp32 → bf16"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(
    data: Data, tmp_path: Path, change: str, named: str
) -> None:
    _stopped(data, tmp_path, step=1)
    with pytest.raises(ConfigError, match="is of another training") as caught:
        train_in(data, tiny(f"{EVERYTHING} {change}"), tmp_path)
    assert named in str(caught.value)


def test_a_checkpoint_of_another_backbone_or_fold_is_refused(data: Data, tmp_path: Path) -> None:
    _stopped(data, tmp_path, step=1)
    with pytest.raises(ConfigError, match=r"model\.timm_name"):
        train_in(data, tiny(EVERYTHING, model="efficientnet_lite1"), tmp_path)
    with pytest.raises(ConfigError, match="fold: 1 → 2"):
        train_fold(job_in(tmp_path, data, tiny(EVERYTHING), 2), Recorder())


def test_a_checkpoint_of_other_classes_or_data_is_refused(data: Data, tmp_path: Path) -> None:
    _stopped(data, tmp_path, step=1)
    manifest = data.manifest
    names = ("disc", "hexagon", "stripes")
    renamed = replace(manifest, classes=ClassMap(names, tuple((name,) for name in names)))
    with pytest.raises(ConfigError, match=r"classes: 3 → 3, without \['square'\], with \['hex"):
        train_in(Data(data.root, renamed), tiny(EVERYTHING), tmp_path)
    split = divided(manifest.frame, manifest.classes, SplitSettings(folds=3, split_seed=7))
    with pytest.raises(ConfigError, match=f"data: {manifest.fingerprint} → {split.fingerprint}"):
        train_in(Data(data.root, split), tiny(EVERYTHING), tmp_path)


def test_settings_that_change_no_result_may_change(
    data: Data, uninterrupted, tmp_path: Path
) -> None:
    _stopped(data, tmp_path)
    config = tiny(f"{EVERYTHING} train.checkpoint_minutes=0 inference.batch_size=5")
    assert_same(train_in(data, config, tmp_path), uninterrupted[0])


def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(
    data: Data, uninterrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save
    written = []

    def full(state, path) -> None:
        if len(written) == 3:
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        written.append(path)
        save(state, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(CarvisionError, match=r"No space left on device; make room"):
            train_in(data, tiny(EVERYTHING), tmp_path)
    assert_same(train_in(data, tiny(EVERYTHING), tmp_path), uninterrupted[0])


@pytest.mark.parametrize("refused", [1, 2])
def test_ctrl_c_after_a_checkpoint_that_the_disk_refused(
    data: Data,
    uninterrupted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refused: int,
) -> None:
    """A checkpoint is tried again, since there may be room by now; training ends with Ctrl-C."""
    save = torch.save
    tried = []

    def full(state, path) -> None:
        tried.append(path)
        if 3 <= len(tried) < 3 + refused:
            raise OSError(28, "No space left on device")
        save(state, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(KeyboardInterrupt):
            train_in(data, tiny(EVERYTHING), tmp_path, _Interrupting(4))
    assert len(tried) == 4
    assert caplog.text.count("No space left on device") == refused
    newest = max(tmp_path.glob("step*.pt")).name
    assert newest == ("step00000004.pt" if refused == 1 else "step00000002.pt")
    assert_same(train_in(data, tiny(EVERYTHING), tmp_path), uninterrupted[0])


def test_after_broken_checkpoints_new_ones_are_kept(data: Data, tmp_path: Path) -> None:
    """Training starts anew below their steps; its own checkpoints are the ones that count."""
    for path in _stopped(data, tmp_path, step=8):
        path.write_bytes(b"broken")
    fresh = _stopped(data, tmp_path, step=3)
    assert [path.name for path in fresh] == ["step00000002.pt", "step00000003.pt"]


class _InterruptingAtEpochs(Recorder):
    """Interrupts while the first epoch is reported."""

    def epoch_ended(self, epoch, metrics) -> None:
        super().epoch_ended(epoch, metrics)
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_while_an_epoch_is_reported_counts_it_once(
    data: Data, uninterrupted, tmp_path: Path
) -> None:
    recorder = _InterruptingAtEpochs()
    # Python's own handler: a shell that starts the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_in(data, tiny(EVERYTHING), tmp_path, recorder)
    finally:
        signal.signal(signal.SIGINT, before)
    rest = Recorder()
    assert_same(train_in(data, tiny(EVERYTHING), tmp_path, rest), uninterrupted[0])
    assert [epoch for epoch, _ in recorder.epochs + rest.epochs] == [1, 2, 3]

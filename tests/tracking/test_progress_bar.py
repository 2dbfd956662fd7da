"""The live view of a training: what a line holds, and that it fits a narrow terminal."""

import pytest

from carvision.reporting import progress_lines
from carvision.reporting.console import console
from carvision.tracking.progress_bar import TrainingProgress

METRICS = {
    "train/loss": 5.98765,
    "val/log_loss": 0.43210,
    "val/log_loss_raw": 0.5,
    "val/accuracy": 1.0,
    "val/top5": 0.98765,
    "val/ece": 0.01234,
    "lr": 0.00012345,
    "images_per_second": 12345.67,
    "memory_gib": 123.45,
}


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_width", 80)


def _shown(capsys: pytest.CaptureFixture[str], epochs: int) -> list[str]:
    progress = TrainingProgress()
    progress.run_started("efficientnet_lite0 fold 12", 12_000)
    for epoch in range(1, epochs + 1):
        progress.epoch_ended(epoch, METRICS)
    return capsys.readouterr().out.splitlines()


def test_an_epoch_is_a_line_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    title, head, *lines = _shown(capsys, epochs=100)
    assert title == "efficientnet_lite0 fold 12"
    names = "epoch train log loss accuracy top-5 cal. error lr images/s GiB"
    assert " ".join(head.split()) == names
    assert len(lines) == 100
    values = "100 5.9877 0.4321 100.00% 98.77% 0.0123 1.23e-04 12345.7 123.5"
    assert " ".join(lines[99].split()) == values
    # Under its heading, to the right.
    assert {len(line) for line in (head, *lines)} == {len(head)}
    assert len(head) <= 80


def test_the_bar_has_the_time_left_and_fits(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TrainingProgress()
    progress.run_started("efficientnet_lite0 fold 12", 12_000)
    for step in (9_000, 9_001, 9_002):
        progress.step_ended(step, 5.9876)
    (line,) = [text for text in _rendered(progress, capsys) if "fold" in text]
    for part in ("efficientnet_lite0 fold 12", "9002/12000", "loss 5.988", "left"):
        assert part in line
    assert "…" not in line


def test_validation_has_a_bar_of_its_own_while_it_lasts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = TrainingProgress()
    progress.images_predicted(3, 12)
    assert any("validating" in line and "3/12" in line for line in _rendered(progress, capsys))
    progress.images_predicted(12, 12)
    assert not any("validating" in line for line in _rendered(progress, capsys))


def _rendered(progress: TrainingProgress, capsys: pytest.CaptureFixture[str]) -> list[str]:
    console.print(progress.bars.get_renderable())
    return capsys.readouterr().out.splitlines()


def test_a_file_gets_lines_within_a_long_epoch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress_lines, "monotonic", lambda: now[0])
    with TrainingProgress() as progress:
        progress.run_started("swin_large [x] fold 1", 1_000)
        for step in range(1, 101):
            now[0] += 3.0
            progress.step_ended(step, 5.9876)
        for done in range(1, 21):
            now[0] += 3.0
            progress.images_predicted(done * 100, 2_000)
        progress.epoch_ended(1, METRICS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "swin_large [x] fold 1, loss 5.988: step 5 of 1,000, about 50 min left"
    assert lines[-5] == "swin_large [x] fold 1, validating: photo 1,500 of 2,000"
    assert lines[-3:-1] == ["swin_large [x] fold 1", lines[-2]]
    assert lines[-1].split()[0] == "1"
    assert 20 <= len(lines) <= 30


def test_a_file_gets_no_lines_within_short_epochs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress_lines, "monotonic", lambda: now[0])
    with TrainingProgress() as progress:
        progress.run_started("efficientnet_lite0 fold 1", 1_000)
        for epoch in range(1, 11):
            for step in range(100):
                now[0] += 0.1
                progress.step_ended(100 * (epoch - 1) + step, 5.9876)
            progress.epoch_ended(epoch, METRICS)
    assert len(capsys.readouterr().out.splitlines()) == 2 + 10

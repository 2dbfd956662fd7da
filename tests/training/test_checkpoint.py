"""Checkpoints: an interrupt while one is written does not touch what is being written."""

import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from carvision.training import CheckpointWriter, newest_checkpoint


def test_a_writer_that_is_still_busy_keeps_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt while waiting must not let the next copy into memory that is being written."""
    writer = CheckpointWriter(tmp_path)
    go_on, save = threading.Event(), torch.save

    def slow(state, path) -> None:
        assert go_on.wait(10)
        save(state, path)

    monkeypatch.setattr(torch, "save", slow)
    writer.write(1, {"weights": torch.zeros(5), "step": 1})
    # Python's own handler: a shell that starts the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    try:
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            writer.write(2, {"weights": torch.ones(5), "step": 2})
    finally:
        interrupt.cancel()
        signal.signal(signal.SIGINT, before)
    threading.Timer(0.2, go_on.set).start()
    writer.write(3, {"weights": torch.full((5,), 3.0), "step": 3})
    writer.wait()
    first = torch.load(tmp_path / "step00000001.pt", weights_only=True)
    assert torch.equal(first["weights"], torch.zeros(5))
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found[1]["step"] == 3

"""Checkpoints that a training goes on from: written whole, verified when read, the last two kept.

A checkpoint is one file of torch tensors and plain values (``weights_only``: loading it runs no
code) with the file's SHA-256 beside it. Training waits only while the state is copied; a thread
writes the copy, which takes as much memory as the checkpoint has bytes.
"""

import logging
import pickle
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from carvision.errors import CarvisionError
from carvision.files import replacing, sha256_of

log = logging.getLogger(__name__)

_KEPT = 2
_SUFFIX = ".pt"


class CheckpointWriter:
    """Writes the checkpoints of one fold's training, each named after its optimiser step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffers: dict[tuple[Any, ...], torch.Tensor] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def write(self, step: int, state: dict[str, Any]) -> None:
        """Copy ``state`` and start writing it; then remove all but the last two checkpoints.

        Raises:
            CarvisionError: the previous checkpoint could not be written.
        """
        self.wait()
        path = self._folder / f"step{step:08d}{_SUFFIX}"
        self._pending = self._writer.submit(self._write, path, self._copied(state, ()))

    def wait(self) -> None:
        """Return when the checkpoint that was started is on the disk.

        Raises:
            CarvisionError: it could not be written; the checkpoints before it stay as they are.
        """
        if self._pending is None:
            return
        # An interrupt leaves this call and keeps the future: until the thread is done, its copy
        # must not be overwritten.
        error = self._pending.exception()
        self._pending = None
        if error is not None:
            raise error

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        try:
            with replacing(path) as temporary:
                torch.save(state, temporary)
                checksum = sha256_of(temporary)
                # The sum comes first: a checkpoint without one counts as broken.
                with replacing(_sum_of(path)) as sum_file:
                    sum_file.write_text(checksum)
        except (OSError, RuntimeError) as error:
            # torch raises RuntimeError when its writer meets a full disk.
            raise CarvisionError(
                f"the checkpoint {path} cannot be written: {error}; make room, then run the same "
                "command again: it goes on from the one before"
            ) from error
        for old in checkpoints(self._folder)[:-_KEPT]:
            old.unlink(missing_ok=True)
            _sum_of(old).unlink(missing_ok=True)

    def _copied(self, value: Any, place: tuple[Any, ...]) -> Any:
        """``value`` with its tensors copied, into the buffers of the copy before where they fit."""
        if isinstance(value, dict):
            return {key: self._copied(item, (*place, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._copied(item, (*place, i)) for i, item in enumerate(value))
        if not isinstance(value, torch.Tensor):
            return value
        buffer = self._buffers.get(place)
        if buffer is None or (buffer.shape, buffer.dtype) != (value.shape, value.dtype):
            buffer = self._buffers[place] = torch.empty_like(value, device="cpu")
        return buffer.copy_(value)


def newest_checkpoint(
    folder: Path, usable: Callable[[Path, dict[str, Any]], bool] = lambda path, state: True
) -> tuple[Path, dict[str, Any]] | None:
    """The newest intact checkpoint in ``folder``, which only this process writes to.

    One that is damaged, or not ``usable``, is renamed, with a warning, and the one before it is
    tried. Half-written files that a killed process left are removed.
    """
    for leftover in folder.glob(f".step*{_SUFFIX}"):
        leftover.unlink()
    for path in reversed(checkpoints(folder)):
        if _is_intact(path):
            state = torch.load(path, map_location="cpu", weights_only=True)
            if usable(path, state):
                return path, state
        log.warning("the checkpoint %s is broken and passed over", path)
        # Renamed, it does not count as one of the two that are kept.
        path.replace(path.with_suffix(".broken"))
    return None


def peek_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint in ``folder`` that can be opened, for its plain values.

    Tensors are memory-mapped and not read, so nothing is verified; nothing is renamed, since
    another process may be writing there.
    """
    for path in reversed(checkpoints(folder)):
        try:
            state: dict[str, Any] = torch.load(
                path, map_location="cpu", weights_only=True, mmap=True
            )
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            log.info("the checkpoint %s cannot be looked into: %s", path, error)
        else:
            return state
    return None


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first."""
    return sorted(folder.glob(f"step*{_SUFFIX}"))


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a training that has ended, broken and half-written ones as well."""
    for path in folder.glob("*step*"):
        path.unlink()


def _is_intact(path: Path) -> bool:
    """Whether a checkpoint has its checksum.

    Raises:
        OSError: the disk cannot be read, which says nothing about the checkpoint.
    """
    try:
        return _sum_of(path).read_text() == sha256_of(path)
    except FileNotFoundError:
        return False


def _sum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")

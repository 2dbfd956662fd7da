"""Checkpoints that training goes on from: written whole, checked when read, the last two kept.

A checkpoint is one file of torch tensors and plain values (``weights_only``: nothing in it runs)
and beside it the file's SHA-256. Training stands still only while the state is copied; a thread
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


class CheckpointFolder:
    """The checkpoints of one fold's training, by the optimiser step that they were written at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffers: dict[tuple[Any, ...], torch.Tensor] = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def write(self, step: int, state: dict[str, Any]) -> Path:
        """Copy ``state`` and begin to write it; then all but the last two checkpoints go.

        Raises:
            CarvisionError: the disk refused the checkpoint before this one.
        """
        self.wait()
        path = self._folder / f"step{step:08d}{_SUFFIX}"
        self._pending = self._writer.submit(self._write, path, self._copied(state, ()))
        return path

    def wait(self) -> None:
        """Return when what was begun is on the disk.

        Raises:
            CarvisionError: the disk refused; the checkpoints before it stay as they are.
        """
        if self._pending is None:
            return
        # Until the thread is done, whatever interrupts the waiting, its copy is not to be touched.
        error = self._pending.exception()
        self._pending = None
        if error is not None:
            raise error

    def newest(
        self, usable: Callable[[Path, dict[str, Any]], bool] = lambda path, state: True
    ) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that is intact; a broken one is said and passed over.

        So is one that is not ``usable``, for something else that belongs to it is broken. What a
        kill left half-written, under another name, is removed.
        """
        self.wait()
        for leftover in self._folder.glob(f".step*{_SUFFIX}"):
            leftover.unlink()
        for path in reversed(self._paths()):
            if _is_intact(path):
                state = torch.load(path, map_location="cpu", weights_only=True)
                if usable(path, state):
                    return path, state
            log.warning("the checkpoint %s is broken and passed over", path)
            # Out of the way: the two that are kept are to be sound ones.
            path.replace(path.with_suffix(".broken"))
        return None

    def _write(self, path: Path, state: dict[str, Any]) -> None:
        try:
            with replacing(path) as temporary:
                torch.save(state, temporary)
                checksum = sha256_of(temporary)
                # The sum comes first: a file without one counts as broken, never as sound.
                with replacing(_sum_of(path)) as sum_file:
                    sum_file.write_text(checksum)
        except (OSError, RuntimeError) as error:
            # torch says RuntimeError when its writer meets a full disk.
            raise CarvisionError(
                f"the checkpoint {path} cannot be written: {error}; make room, then run the same "
                "command again: it goes on from the one before"
            ) from error
        for old in self._paths()[:-_KEPT]:
            old.unlink(missing_ok=True)
            _sum_of(old).unlink(missing_ok=True)

    def _copied(self, value: Any, place: tuple[Any, ...]) -> Any:
        """``value`` with its tensors copied, into the memory of the copy before where they fit."""
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

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"step*{_SUFFIX}"))


def glance(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint in ``folder`` that can be opened, for its plain values.

    Gigabytes of tensors are mapped and not read, so nothing is checked, and nothing is moved:
    another process may be writing there.
    """
    for path in sorted(folder.glob(f"step*{_SUFFIX}"), reverse=True):
        try:
            state: dict[str, Any] = torch.load(
                path, map_location="cpu", weights_only=True, mmap=True
            )
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            log.info("the checkpoint %s cannot be looked into: %s", path, error)
        else:
            return state
    return None


def _is_intact(path: Path) -> bool:
    """Whether a checkpoint holds what was written; a disk that cannot be read is another matter."""
    try:
        return _sum_of(path).read_text() == sha256_of(path)
    except FileNotFoundError:
        return False


def _sum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")

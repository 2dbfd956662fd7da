"""Checkpoints that training goes on from: written whole, checked when read, the last two kept.

A checkpoint is one file of torch tensors and plain values (``weights_only``: nothing in it runs)
and beside it the file's SHA-256.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch

from carvision.errors import CarvisionError
from carvision.files import replacing

log = logging.getLogger(__name__)

_KEPT = 2
_SUFFIX = ".pt"


class CheckpointFolder:
    """The checkpoints of one fold's training, by the optimiser step that they were written at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, step: int, state: dict[str, Any]) -> Path:
        """Write ``state``; then remove all but the last two.

        Raises:
            CarvisionError: the disk refused; the checkpoints before this one stay as they are.
        """
        path = self._folder / f"step{step:08d}{_SUFFIX}"
        try:
            with replacing(path) as temporary:
                torch.save(state, temporary)
                digest = _digest(temporary)
                # The sum comes first: a file without one counts as broken, never as sound.
                with replacing(_sum_of(path)) as sum_file:
                    sum_file.write_text(digest)
        except (OSError, RuntimeError) as error:
            # torch says RuntimeError when its writer meets a full disk.
            raise CarvisionError(
                f"the checkpoint {path} cannot be written: {error}; make room, then run the same "
                "command again: it goes on from the one before"
            ) from error
        for old in self._paths()[:-_KEPT]:
            old.unlink(missing_ok=True)
            _sum_of(old).unlink(missing_ok=True)
        return path

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that is intact; a broken one is said and passed over.

        What a kill left half-written, under another name, is removed.
        """
        for leftover in self._folder.glob(f".step*{_SUFFIX}"):
            leftover.unlink()
        for path in reversed(self._paths()):
            try:
                if _sum_of(path).read_text() != _digest(path):
                    raise ValueError("its content is not what was written")
                return path, torch.load(path, map_location="cpu", weights_only=True)
            # What a damaged file raises depends on where it is damaged.
            except Exception as error:
                log.warning("the checkpoint %s is broken and passed over: %s", path, error)
        return None

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"step*{_SUFFIX}"))


def _sum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

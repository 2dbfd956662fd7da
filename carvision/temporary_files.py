"""Temporary files and folders, which a later command removes if a kill left them.

Each has a lock file beside it that shows whether its process is alive: the system frees the lock
when the process ends, on this machine and on any other that shares the disk.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from carvision.workspace import FOLDS, SCRATCH

_OWNER: Final = ".owner"
_REPLACED: Final = ".replaced"
#: Where temporary files lie below ``work/``: not where there are thousands of photos.
_PLACES: Final = (
    f"{SCRATCH.name}/*",
    ".*",
    "*/.*",
    f"{FOLDS.name}/*/.*",
    f"{FOLDS.name}/*/*/.*",
)
#: Bytes of a file's name in that of its temporary file, for people who look at the disk.
_LONGEST_HINT: Final = 100


@contextmanager
def temporary_path(parent: Path, hint: str, suffix: str = "") -> Iterator[Path]:
    """Yield a new path in ``parent``; a file or folder that is there at the end is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    hint = os.fsencode(hint)[:_LONGEST_HINT].decode(errors="ignore")
    owner, lock = _locked(parent, hint, suffix)
    try:
        yield _owned(owner)
    finally:
        try:
            _finish_exchange(owner)
            _remove(owner)
        finally:
            lock.release()


def exchange(temporary: Path, path: Path) -> None:
    """Move a temporary folder to ``path``; a folder that is there becomes a temporary one.

    It takes two renames, so that ``path`` is never half a folder. After an interruption between
    them :func:`temporary_path` does the second one, after a kill :func:`clear_leftovers`.
    """
    if path.exists():
        replaced = _replaced_by(temporary)
        replaced.mkdir()
        path.replace(replaced / path.name)
    temporary.replace(path)


def clear_leftovers(work: Path) -> list[Path]:
    """Remove the temporary files and folders below ``work`` whose process has ended.

    Returns their paths. Files without a lock file are left: they may be anybody's.
    """
    cleared = []
    for place in _PLACES:
        for owner in work.glob(f"{place}{_OWNER}"):
            cleared += _clear(owner)
    return cleared


def _locked(parent: Path, hint: str, suffix: str) -> tuple[Path, FileLock]:
    while True:
        handle, name = tempfile.mkstemp(dir=parent, prefix=hint, suffix=suffix + _OWNER)
        os.close(handle)
        owner, lock = Path(name), FileLock(name)
        try:
            lock.acquire()
        except (OSError, NotImplementedError):
            # A file system without locks: nobody takes a path without a lock file for a leftover.
            owner.unlink(missing_ok=True)
            return owner, lock
        if owner.exists():
            return owner, lock
        lock.release()  # another process took it for a leftover before it was locked


def _clear(owner: Path) -> list[Path]:
    lock = FileLock(owner)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError, NotImplementedError):
        return []
    try:
        _finish_exchange(owner)
        return _remove(owner)
    finally:
        lock.release()


def _finish_exchange(owner: Path) -> None:
    temporary = _owned(owner)
    for replaced in _replaced_by(temporary).glob("*"):
        path = owner.with_name(replaced.name)
        if not path.exists() and temporary.exists():
            temporary.replace(path)


def _remove(owner: Path) -> list[Path]:
    """Remove the files that a lock file stands for, then the lock file; return their paths."""
    temporary = _owned(owner)
    own = [path for path in (temporary, _replaced_by(temporary)) if os.path.lexists(path)]
    for path in own:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    owner.unlink(missing_ok=True)
    return own


def _owned(owner: Path) -> Path:
    return owner.with_name(owner.name.removesuffix(_OWNER))


def _replaced_by(temporary: Path) -> Path:
    return temporary.with_name(temporary.name + _REPLACED)

"""Temporary files and folders that tell whether their process lives: what a kill leaves is removed.

Each has a lock file beside it. The system frees the lock when the process ends, however it ends, on
this machine and on any other that shares the disk.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

_OWNER: Final = ".owner"
_REPLACED: Final = ".replaced"
#: Where below ``work/`` there are temporary files; photos by the thousand lie elsewhere.
_PLACES: Final = ("scratch/*", ".*", "*/.*", "folds/*/.*", "folds/*/*/.*")
#: Bytes of a name that its temporary file repeats, for whoever looks at the disk.
_LONGEST_HINT: Final = 100


@contextmanager
def temporary_path(parent: Path, hint: str, suffix: str = "") -> Iterator[Path]:
    """A new path in ``parent``; what is there in the end is removed."""
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
    """Move a temporary folder to ``path``; what was there goes with the temporary files.

    Two renames: at no moment is there half a folder under the name. After an interruption between
    them :func:`temporary_path` does the second, and after a kill :func:`clear_leftovers`.
    """
    if path.exists():
        replaced = _replaced_by(temporary)
        replaced.mkdir()
        path.replace(replaced / path.name)
    temporary.replace(path)


def clear_leftovers(work: Path) -> list[Path]:
    """Remove the temporary files and folders below ``work`` whose process has ended.

    Returns what is removed. What has no lock file is left: nothing tells whose it is.
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
            # A file system without locks: without the file, nobody takes it for a leftover.
            owner.unlink(missing_ok=True)
            return owner, lock
        if owner.exists():
            return owner, lock
        lock.release()  # taken for a leftover between its making and its locking


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
    """Remove what a lock file tells of, and then the lock file; which it was."""
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

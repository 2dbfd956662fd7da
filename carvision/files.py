"""Files and folders that are written whole or not at all, and their names, sums and locks."""

import filecmp
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from carvision.errors import CarvisionError, ConfigError
from carvision.temporary_files import exchange, temporary_path
from carvision.workspace import SCRATCH

log = logging.getLogger(__name__)

#: Letters and digits of any alphabet, and signs that lead to no other folder.
_PLAIN_NAME = re.compile(r"[^\W_][\w.@+-]*")
#: Bytes; with a suffix, it still fits into what file systems allow (255).
_LONGEST_NAME = 200


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is fsynced and renamed onto ``path``.

    A crash at any moment leaves either the old file or the new one, never half of one.
    """
    with temporary_path(path.parent, f".{path.name}.", path.suffix) as temporary:
        temporary.touch()
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)


@contextmanager
def replacing_output(path: Path) -> Iterator[Path]:
    """:func:`replacing` for an output of the user's, who may still need the earlier file.

    An earlier file with other content is renamed to ``NAME.1``, ``NAME.2`` and so on, none of which
    is ever replaced, and a log line says so.
    """
    with replacing(path) as temporary:
        yield temporary
        if path.is_file() and not filecmp.cmp(path, temporary, shallow=False):
            kept = _kept(path)
            log.info("%s was there already: the earlier one is now %s", path, kept.name)


def _kept(path: Path) -> Path:
    """Give the file the next free name with a number."""
    number = 1
    while True:
        kept = path.with_name(f"{path.name}.{number}")
        try:
            # Unlike a rename, a link does not replace a file that another process has just written.
            os.link(path, kept)
            return kept
        except FileExistsError:
            number += 1
        except OSError:  # a file system without links
            if not os.path.lexists(kept):
                return path.rename(kept)
            number += 1


def check_writable(output: Path) -> None:
    """Check that an output can be written, before the work whose result it is to hold.

    Raises:
        ConfigError: it is a folder or a device, or its folder cannot be written to.
    """
    try:
        if output.exists() and not output.is_file():
            what = "a folder" if output.is_dir() else "not a regular file"
            raise ConfigError(f"output={output} is {what}; give the name of a file")
        # Under a new name: an earlier file of the user's is not touched.
        with temporary_path(output.parent, f".{output.name}.", output.suffix) as probe:
            probe.touch()
    except OSError as error:
        raise ConfigError(f"output={output} cannot be written: {error}") from error


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it replaces ``path``."""
    with temporary_path(path.parent, f".{path.name}.") as temporary:
        temporary.mkdir()
        yield temporary
        exchange(temporary, path)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a temporary folder below ``work/``, which is removed at the end.

    Models are gigabytes, and the system's folder for temporary files is often in memory.
    """
    with temporary_path(SCRATCH, "") as folder:
        folder.mkdir()
        yield folder.absolute()


@contextmanager
def alone(lock: Path, what: str) -> Iterator[None]:
    """Hold the file ``lock``, which the system frees when the process ends.

    Raises:
        CarvisionError: another process holds it, and is busy with ``what``.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock, timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise CarvisionError(
            f"another process is busy with {what} (it holds {lock}): wait for it, or stop it; "
            "a killed `mlflow run` may have left it running"
        ) from None
    try:
        yield
    finally:
        held.release()


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Wait for the file ``lock`` and hold it; the system frees it when the process ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        yield


def plain_name(name: str) -> str:
    """Return ``name`` where it is safe as part of a path: letters, digits and ``_ . @ + -``.

    It begins with a letter or a digit. Names that come from a registry, a store or a variable of
    the environment are checked here before they are joined to a path.

    Raises:
        ValueError: it is something else, which could lead to another folder.
    """
    if not _PLAIN_NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"{name[:100]!r} is no plain name")
    return name


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Give ``target`` the content of ``source``: by a hard link, or as a copy where there is none.

    Weights are gigabytes. A link is safe: no file is ever changed in place.
    """
    try:
        # Resolved: a symbolic link may lead nowhere from another folder.
        os.link(source.resolve(), target)
    # Another disk, a file system without hard links, or more links than it keeps.
    except OSError:
        shutil.copyfile(source, target)


def flush(folder: Path) -> None:
    """Wait until all files of a folder are on the disk, and not in memory alone."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as readable JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file written as UTF-8."""
    return json.loads(path.read_text(encoding="utf-8"))

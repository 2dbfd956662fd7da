"""A folder for weights while they are fetched."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from carvision.errors import ConfigError
from carvision.temporary_files import clear_leftovers, temporary_path

#: Windows, which knows no such number, has a temporary folder for each user.
_USER: Final = os.getuid() if hasattr(os, "getuid") else 0


@contextmanager
def fetching_folder() -> Iterator[Path]:
    """Make a temporary folder for weights that are read into memory.

    What servers that were killed have left is removed first.

    Raises:
        ConfigError: the folder above it belongs to another user.
    """
    own = Path(tempfile.gettempdir()) / f"carvision-{_USER}"
    own.mkdir(mode=0o700, exist_ok=True)
    # lstat does not follow a link, which anybody may have put there.
    if own.lstat().st_uid != _USER:
        raise ConfigError(f"{own} is another user's folder: set TMPDIR to a folder of your own")
    clear_leftovers(own)
    with temporary_path(own / "scratch", "weights-") as folder:
        folder.mkdir()
        yield folder

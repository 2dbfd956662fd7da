"""Where weights lie while they are fetched."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from carvision.errors import ConfigError
from carvision.leftovers import clear_leftovers, temporary_path

#: Windows, which knows no such number, has a temporary folder for each user.
_USER: Final = os.getuid() if hasattr(os, "getuid") else 0


@contextmanager
def fetching_folder() -> Iterator[Path]:
    """A folder for gigabytes that are read into memory at once; it is gone afterwards.

    A server may be killed meanwhile: what such servers left is cleared first.

    Raises:
        ConfigError: somebody else made the folder that it would lie in.
    """
    own = Path(tempfile.gettempdir()) / f"carvision-{_USER}"
    own.mkdir(mode=0o700, exist_ok=True)
    # Not what a link leads to: anybody may have put it there.
    if own.lstat().st_uid != _USER:
        raise ConfigError(f"{own} is another user's folder: set TMPDIR to a folder of your own")
    clear_leftovers(own)
    with temporary_path(own / "scratch", "weights-") as folder:
        folder.mkdir()
        yield folder

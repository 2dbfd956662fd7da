"""Zips that no sound program writes, for the tests of archives."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from carvision.data.archive.unpack import Unpacking


class RawName(zipfile.ZipInfo):
    """An entry whose name is written as these bytes, without the UTF-8 flag."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw.decode("cp437"))
        self.raw = raw

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's own hook
        return self.raw, self.flag_bits & ~0x800


def write_zip(path: Path, entries: Mapping[str | bytes, bytes]) -> Path:
    """Names that are bytes are written as they are, without the UTF-8 flag."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in entries.items():
            info = RawName(name) if isinstance(name, bytes) else zipfile.ZipInfo(name)
            written.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def unpacked(archive: Path, below: Path) -> Path:
    """The folder that an archive is unpacked to."""
    return Unpacking.of(archive, below).run()

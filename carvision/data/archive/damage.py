"""The errors that reading a damaged archive raises."""

import lzma
import struct
import zipfile
import zlib
from typing import Final

#: Errors of zipfile and its decompressors. NotImplementedError and RecursionError are
#: RuntimeErrors, UnicodeDecodeError is a ValueError.
DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    OverflowError,
    MemoryError,
)

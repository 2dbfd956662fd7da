r"""File names as text: on the disk, a name may be any bytes.

Python returns bytes that are not UTF-8 as lone surrogates (PEP 383), which cannot be written to
parquet, JSON or a terminal. Korean programs write cp949, so names that look like it are read as
cp949.
"""

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes

from carvision.contracts import nfc
from carvision.data.text import looks_korean

#: The beginning of a percent-encoded path; no other path of a photo begins with it.
_ENCODED = "./"


def text_of(name: str) -> str | None:
    """Decode a file name, in NFC; None where it is neither UTF-8 nor Korean."""
    if name.isascii():
        return name
    raw = os.fsencode(name)
    for encoding in ("utf-8", "cp949"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or looks_korean(text):
            return nfc(text)
    return None


def is_utf8(name: str) -> bool:
    """Whether the bytes of a file name are UTF-8."""
    if name.isascii():
        return True
    try:
        os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def printable(name: str | os.PathLike[str]) -> str:
    r"""Escape what a terminal cannot show on one line: a stray byte becomes ``\xb6``."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def portable_path(path: str) -> str:
    """Encode a path of any bytes as UTF-8 text; :func:`path_on_disk` is the inverse."""
    if is_utf8(path):
        return os.fsencode(path).decode("utf-8")
    return _ENCODED + quote_from_bytes(os.fsencode(path))


def path_on_disk(portable: str) -> str:
    """Decode a path; the inverse of :func:`portable_path`."""
    if not portable.startswith(_ENCODED):
        return os.fsdecode(portable.encode("utf-8"))
    return os.fsdecode(unquote_to_bytes(portable.removeprefix(_ENCODED)))

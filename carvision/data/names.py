r"""Names from the disk as text: folders and files may be called by any bytes.

Python hands out bytes that are not UTF-8 as lone surrogates (PEP 383), which neither parquet nor
JSON nor a terminal takes. Korean programs write cp949, so that is what such names are read as where
they fit it.
"""

import os
from collections.abc import Sequence
from urllib.parse import quote_from_bytes, unquote_to_bytes

from carvision.contracts import nfc
from carvision.data.text import looks_korean

#: Begins a path that is written percent-encoded; no path of a photo begins so otherwise.
_ENCODED = "./"


def text_of(name: str) -> str | None:
    """The text of a name that the disk gave, in NFC; None where it is neither UTF-8 nor Korean."""
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
    """Whether the disk spells ``name`` in UTF-8."""
    if name.isascii():
        return True
    try:
        os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def printable(name: str | os.PathLike[str]) -> str:
    r"""``name`` on one line and in text that every terminal takes: ``\xb6`` for a stray byte."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_few(items: Sequence[str], most: int = 5) -> str:
    """The first of ``items``, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def portable_path(path: str) -> str:
    """``path`` as UTF-8 text that :func:`path_on_disk` turns back, whatever its bytes are."""
    if is_utf8(path):
        return os.fsencode(path).decode("utf-8")
    return _ENCODED + quote_from_bytes(os.fsencode(path))


def path_on_disk(portable: str) -> str:
    """The inverse of :func:`portable_path`."""
    if not portable.startswith(_ENCODED):
        return os.fsdecode(portable.encode("utf-8"))
    return os.fsdecode(unquote_to_bytes(portable.removeprefix(_ENCODED)))

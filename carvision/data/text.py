"""Decode text in UTF-8, UTF-16, or cp949, the encoding of Korean Windows and older Excel."""

import codecs

from carvision.errors import DataError


def looks_korean(text: str) -> bool:
    """Whether ``text``, which was decoded from cp949, is likely to be Korean.

    Bytes of other encodings are often valid cp949, too: ``ën`` in cp437 is the syllable 뎝. They
    decode to rare syllables, which cp949 adds to KS X 1001. Most of any Korean text is in KS X
    1001, where both bytes of a syllable are above 0xA0.
    """
    foreign = {character for character in text if not character.isascii()}
    common = [character for character in foreign if min(character.encode("cp949")) > 0xA0]
    return bool(foreign) and 2 * len(common) >= len(foreign)


def decoded(raw: bytes, what: str) -> str:
    """Decode a file: UTF-8, UTF-16 where it has a byte-order mark, or else cp949 (EUC-KR).

    Raises:
        DataError: the file, which is called ``what`` in the message, is in none of these.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp949"]
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "cp949" or looks_korean(text):
            return text
    raise DataError(
        f"{what} cannot be read: its text is neither UTF-8 nor cp949 (EUC-KR); save it as UTF-8 "
        "(in Excel: CSV UTF-8)"
    )

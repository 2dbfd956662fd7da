"""Bytes that should be text: UTF-8, or cp949, in which Korean Windows and older Excel write."""

import codecs

from carvision.errors import DataError


def looks_korean(text: str) -> bool:
    """Whether ``text``, decoded from cp949, was meant as Korean.

    cp949 also decodes much that is not Korean: ``ën`` in cp437 is the syllable 뎝. Such accidents
    give the rare syllables that cp949 adds to KS X 1001, while most of any Korean text is in KS X
    1001, both of whose bytes are above 0xA0.
    """
    foreign = {character for character in text if not character.isascii()}
    common = [character for character in foreign if min(character.encode("cp949")) > 0xA0]
    return bool(foreign) and 2 * len(common) >= len(foreign)


def decoded(raw: bytes, what: str) -> str:
    """The text of a file: UTF-8 or UTF-16 (with its byte-order mark), or else cp949 (EUC-KR).

    Raises:
        DataError: it is none of these; ``what`` names the file.
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

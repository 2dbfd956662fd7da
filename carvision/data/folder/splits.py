"""Recognise the names of splits: ``train``, ``Training``, ``test_set``, ``valid``."""

import re
import unicodedata
from typing import Final

TRAIN: Final = "train"
TEST: Final = "test"
VALIDATION: Final = "validation"

_WORDS: Final = {
    TRAIN: ("train", "training"),
    TEST: ("test", "testing"),
    VALIDATION: ("valid", "val", "validation", "validate", "eval", "evaluation", "dev"),
}
_ENDINGS: Final = ("", "set", "data", "images", "photos")
_KIND: Final = {
    word + ending: kind for kind, words in _WORDS.items() for word in words for ending in _ENDINGS
}


def split_of(folder: str) -> str | None:
    """Return the split that a folder of this name holds: train, test, validation, or None."""
    return _KIND.get(plain(folder))


def split_in(folder: str) -> str | None:
    """Return the split that is a word of the name, as in ``X_train`` or ``train2023``, or None."""
    words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", folder).casefold())
    return next((_KIND[word] for word in words if word in _KIND), None)


def plain(name: str) -> str:
    """Normalise a name for comparison: case, blanks, ``_``, ``-`` and Unicode form are ignored."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in folded if c not in "_-" and not c.isspace())

"""Findings: what in a folder of photos is not used, or not used as the user may expect."""

from collections import Counter
from collections.abc import Collection, Iterator
from enum import Enum
from typing import NamedTuple

from carvision.config.words import first_few
from carvision.data.names import printable


class Finding(Enum):
    """A reason for not using something; a warning where photos may be missing by mistake."""

    UNREADABLE_CLASS = (
        "class folders that cannot be read, so these classes are missing (give yourself the right "
        "to read them, or remove them)",
        True,
    )
    UNREADABLE = (
        "folders that cannot be read, so their photos are missing (give yourself the right to "
        "read them, or remove them)",
        True,
    )
    DEAD_LINK = ("passed over, links to what does not exist, or cannot be reached", True)
    LOOP = ("passed over, linked folders that lead back to a folder above them", True)
    AGAIN = ("passed over, linked folders that were listed already", True)
    HIDDEN = ("passed over, photos below names that begin with a dot", True)
    LOOSE = ("passed over, photos that lie in no class folder", True)
    OTHER_SPLIT = ("passed over, photos of another split", True)
    BESIDE = ("passed over, photos beside the folder of training photos", True)
    NESTED = (
        "class folders with photos in several subfolders only; each counts as one class (move "
        "the subfolders one level up if they are the classes)",
        True,
    )
    DEEPER = ("photos in subfolders, used as photos of the class folder", False)
    RECODED = ("names that are not UTF-8, read as Korean (cp949), or with their bytes shown", False)
    SPLIT = ("named like a split, so no class", False)
    EMPTY = ("class folders without a photo, so no classes", False)
    SUFFIX = ("passed over, no photo formats that are read here", False)
    SYSTEM = ("passed over, files and folders that systems and programs leave", False)

    def __init__(self, what: str, is_warning: bool) -> None:
        self.what = what
        self.is_warning = is_warning


#: Findings of single folders, whose names are listed without a count.
_NAMES_ONLY = frozenset(
    {
        Finding.UNREADABLE_CLASS,
        Finding.UNREADABLE,
        Finding.DEAD_LINK,
        Finding.LOOP,
        Finding.AGAIN,
        Finding.EMPTY,
    }
)


#: Findings that each step reports again, since they may be temporary.
OUT_OF_REACH = (Finding.UNREADABLE_CLASS, Finding.UNREADABLE, Finding.DEAD_LINK)


class Sentence(NamedTuple):
    """A finding as a sentence for the user."""

    text: str
    is_warning: bool


class Findings:
    """Counts findings by kind and name."""

    def __init__(self) -> None:
        self._counts: dict[Finding, Counter[str]] = {finding: Counter() for finding in Finding}

    def add(self, finding: Finding, name: str, count: int = 1) -> None:
        """Add ``count`` to a finding of ``name``."""
        if count:
            self._counts[finding][name] += count

    def names(self, finding: Finding) -> list[str]:
        """Return the names with a finding of one kind."""
        return list(self._counts[finding])

    def sentences(
        self, most: int = 5, among: Collection[Finding] = tuple(Finding)
    ) -> Iterator[Sentence]:
        """Yield a sentence for each kind, the most serious first; each lists ``most`` names."""
        for finding, counts in self._counts.items():
            if counts and finding in among:
                listed = _listed(finding, counts, most)
                yield Sentence(f"{finding.what}: {listed}", finding.is_warning)


def _listed(finding: Finding, counts: Counter[str], most: int) -> str:
    if finding in _NAMES_ONLY:
        return first_few(sorted(map(printable, counts)), most)
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{printable(name)} ({count:,})" for name, count in largest]
    return first_few(named, most)

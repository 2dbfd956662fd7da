"""Find the class folders, and count what else lies in and beside the folder that holds them."""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from carvision.data.folder.findings import Finding, Findings
from carvision.data.folder.listing import (
    Folder,
    Photo,
    count_photos,
    entries_of,
    has_photo,
    is_folder,
    pass_over,
)
from carvision.data.folder.splits import TEST, split_of
from carvision.data.names import is_utf8, printable, text_of
from carvision.errors import DataError


def class_folders(folder: Folder, own_files: Collection[str], findings: Findings) -> list[Folder]:
    """Return the class folders in ``folder``, and count what is passed over.

    Where ``folder`` is the data's root, the layout's ``own_files`` are not counted, and a folder
    named like a split is not a class.

    Raises:
        DataError: ``folder`` cannot be read, a class folder's name cannot be decoded, or all class
            folders are named like splits.
    """
    is_root = not folder.path
    classes = []
    for entry in entries_of(folder):
        if (is_root and entry.name in own_files) or pass_over(folder, entry, findings):
            continue
        if not is_folder(entry):
            findings.add(Finding.LOOSE, folder.text or printable(folder.root))
            continue
        child = folder.child(entry.name)
        if is_root and split_of(entry.name):
            if entry.name != "test":
                findings.add(Finding.SPLIT, child.text, count_photos(child, findings))
            continue
        if not os.access(child.full, os.R_OK | os.X_OK):
            findings.add(Finding.UNREADABLE_CLASS, child.text)
            continue
        if not is_utf8(entry.name):
            findings.add(Finding.RECODED, child.text)
            _refuse_unknown_encoding(child, entry.name)
        classes.append(child)
    if not is_root:
        _refuse_splits_as_classes(folder, classes)
    return classes


def count_beside(root: Folder, train: str, own_files: Collection[str], findings: Findings) -> None:
    """Count what lies in the root beside the folder ``train`` and the test photos."""
    for entry in entries_of(root):
        if entry.name == train or entry.name in own_files or pass_over(root, entry, findings):
            continue
        if not is_folder(entry):
            findings.add(Finding.BESIDE, root.text_of(entry.name))
        elif split_of(entry.name) != TEST:
            child = root.child(entry.name)
            finding = Finding.OTHER_SPLIT if split_of(entry.name) else Finding.BESIDE
            findings.add(finding, child.text, count_photos(child, findings))


def describe_depth(classes: Sequence[Folder], photos: Sequence[Photo], findings: Findings) -> None:
    """Count classes without a photo, and photos that lie deeper than their class folder."""
    depth = classes[0].text.count("/") + 1 if classes else 0
    direct: set[str] = set()
    deeper: dict[str, Counter[str]] = defaultdict(Counter)
    for photo in photos:
        folder = photo.image_id.rpartition("/")[0]
        if folder.count("/") + 1 == depth:
            direct.add(folder)
        else:
            parts = folder.split("/")
            deeper["/".join(parts[:depth])]["/".join(parts[: depth + 1])] += 1
    for folder, below in deeper.items():
        if folder not in direct and len(below) > 1:
            findings.add(Finding.NESTED, folder, below.total())
        else:
            for subfolder, count in below.items():
                findings.add(Finding.DEEPER, subfolder, count)
    for folder in sorted({each.text for each in classes} - direct - deeper.keys()):
        findings.add(Finding.EMPTY, folder.rpartition("/")[2])


def _refuse_unknown_encoding(folder: Folder, name: str) -> None:
    if text_of(name) is None and has_photo(folder):
        raise DataError(
            f"the class folder {printable(folder.full)} has a name that is neither UTF-8 nor "
            "Korean (cp949): rename it, for example with convmv"
        )


def _refuse_splits_as_classes(folder: Folder, classes: Sequence[Folder]) -> None:
    """Refuse folders that are all named like splits; a single class may be called ``test``."""
    names = sorted(each.text.rpartition("/")[2] for each in classes)
    if len(names) > 1 and all(split_of(name) for name in names) and any(map(has_photo, classes)):
        full = printable(folder.full)
        raise DataError(
            f"all folders in {full} are named like splits, not like classes: "
            f"{', '.join(names)}; if one of them holds the class folders, give data={full}"
        )

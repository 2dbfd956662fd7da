"""The layout of a folder of photos: the competition's, or plain class folders.

The competition's layout is ``train/<class>/*``, ``test/``, ``test.csv``, ``sample_submission.csv``
and, where known, ``answers.csv``. Similar names such as ``Training`` or ``Test.csv`` are accepted.
Without a folder ``train``, the folder's own subfolders are the classes.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from carvision.data.folder.class_folders import class_folders, count_beside, describe_depth
from carvision.data.folder.findings import Findings
from carvision.data.folder.listing import (
    Folder,
    Photo,
    is_folder,
    is_photo,
    photos_below,
)
from carvision.data.folder.splits import TEST, TRAIN, VALIDATION, split_in, split_of
from carvision.data.folder.top_level import TopLevel, entries_in, quoted_names
from carvision.data.names import printable
from carvision.errors import DataError

_TEST_LIST = "test.csv"
_TEMPLATE = "sample_submission.csv"
_ANSWERS = "answers.csv"


@dataclass(frozen=True)
class Listing:
    """The photos in the class folders, sorted by ``image_id``, and the findings beside them."""

    photos: list[Photo]
    findings: Findings


@dataclass(frozen=True)
class Layout:
    """A folder of photos. Its properties are absolute paths, None where there is no such file."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Return the layout of ``folder``.

        Raises:
            DataError: it does not exist, is not a folder, cannot be read, or lies one level above
                the folder of the data.
        """
        what = _why_no_folder(folder)
        if what is not None:
            raise DataError(
                f"data={printable(folder)} {what}; give a folder of photos, a zip, or data=sample"
            )
        layout = cls(folder.resolve())
        layout._refuse_one_level_too_high(folder)
        return layout

    @property
    def _top(self) -> TopLevel:
        return TopLevel(self.root)

    @property
    def train(self) -> Path:
        """The folder whose subfolders are the classes.

        Raises:
            DataError: several folders, or none for sure, may be the one.
        """
        named = self._top.split_folders(TRAIN)
        if len(named) > 1:
            raise DataError(
                f"{printable(self.root)} holds {quoted_names(named)}, and each may be the folder "
                "of training photos: rename or remove all but one"
            )
        if named:
            if named[0] != TRAIN:
                self._refuse_class_named_like_train(named[0])
            return self.root / named[0]
        self._refuse_validation_as_class()
        self._refuse_splits_of_longer_names()
        return self.root

    @property
    def test(self) -> Path | None:
        """``test.csv``, or else the folder ``test``.

        Raises:
            DataError: there are several folders of test photos.
        """
        return self._top.file(_TEST_LIST) or self._test_folder()

    @property
    def template(self) -> Path | None:
        """The submission's template."""
        return self._top.file(_TEMPLATE)

    @property
    def answers(self) -> Path | None:
        """The test photos' true classes (``ID,label``), where they are known."""
        return self._top.file(_ANSWERS)

    def training_photos(self) -> list[Photo]:
        """Return every photo in a class folder, sorted by ``image_id``."""
        return self.listing().photos

    def listing(self) -> Listing:
        """List every photo in a class folder, and count what is passed over there.

        Raises:
            DataError: a folder cannot be read, or the name of a class folder cannot be decoded.
        """
        findings = Findings()
        root, train = Folder.at(self.root), self.train
        folder = root if train == self.root else root.child(train.name)
        classes = class_folders(folder, self._own_files(), findings)
        photos = [photo for each in classes for photo in photos_below(each, findings)]
        describe_depth(classes, photos, findings)
        return Listing(sorted(photos, key=lambda photo: photo.image_id), findings)

    def count_beside(self, findings: Findings) -> None:
        """Count also what lies beside the folder of the classes, which may take long."""
        if self.train != self.root:
            count_beside(Folder.at(self.root), self.train.name, self._own_files(), findings)

    def labels_of(self, photos: Sequence[Photo]) -> list[str]:
        """Return the name of each photo's class folder, in NFC."""
        part = 0 if self.train == self.root else 1
        return [photo.image_id.split("/")[part] for photo in photos]

    def _own_files(self) -> frozenset[str]:
        files = (self._top.file(name) for name in (_TEST_LIST, _TEMPLATE, _ANSWERS))
        return frozenset(file.name for file in files if file)

    def _test_folder(self) -> Path | None:
        named = self._top.split_folders(TEST)
        if len(named) > 1:
            raise DataError(
                f"{printable(self.root)} holds {quoted_names(named)}, and each may be the folder "
                "of test photos: give test=PATH"
            )
        return self.root / named[0] if named else None

    def _refuse_one_level_too_high(self, given: Path) -> None:
        folders = self._top.folders()
        if any(split_of(name) == TRAIN for name in folders):
            return
        inside = ((name, _train_in(self.root / name)) for name in folders)
        outer, inner = next((pair for pair in inside if pair[1]), ("", ""))
        if inner and not any(self._top.has_photo(name) for name in folders if name != outer):
            raise DataError(
                f"data={printable(given)} holds no folder train, but "
                f"{printable(outer)}/{printable(inner)} is there: did you mean "
                f"data={printable(given / outer)}?"
            )

    def _refuse_class_named_like_train(self, name: str) -> None:
        """Refuse ``Training/*.jpg`` beside ``Walking/*.jpg``: it may be a class or a split."""
        below = [e.name for e in entries_in(self.root / name) if is_folder(e)]
        if any(self._top.has_photo(name, child) for child in below):
            return
        others = [other for other in self._top.folders() if split_of(other) is None]
        if any(self._top.has_photo(other) for other in others):
            raise DataError(
                f"{printable(self.root)}: {printable(name)!r} may be a class, or the folder of "
                "all training photos: put the class folders into a folder train"
            )

    def _refuse_splits_of_longer_names(self) -> None:
        """Refuse ``X_train`` beside ``X_test``: they may be classes, or splits."""
        kinds = {name: split_in(name) for name in self._top.folders()}
        splits = [name for name, kind in kinds.items() if kind and self._top.may_hold_photos(name)]
        training = [name for name in splits if kinds[name] == TRAIN]
        if not training or len({kinds[name] for name in splits}) < 2:
            return
        entries = (entry for name in training for entry in entries_in(self.root / name))
        others = (name for name in kinds if name not in splits and self._top.has_photo(name))
        if next(others, None) is None or not any(is_photo(e.name) for e in entries):
            raise DataError(
                f"{printable(self.root)}: {quoted_names(splits)} may be classes, or the folders of "
                "training and test photos: call them train and test, or put the class folders "
                "into a folder train"
            )

    def _refuse_validation_as_class(self) -> None:
        """Refuse ``valid`` where there is no folder of training photos: class or split?"""
        splits = [name for name in self._top.split_folders(VALIDATION) if self._top.has_photo(name)]
        if splits:
            raise DataError(
                f"{printable(self.root)} holds no folder train, and {quoted_names(splits)} may be "
                "photos for validation, or classes: put every class folder into a folder train, "
                "and leave out what is no class"
            )


def _why_no_folder(path: Path) -> str | None:
    """Say why ``path`` is not a folder; None where it is one."""
    try:
        if path.is_dir():
            return None
        return "is not a folder" if path.exists() else "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _train_in(folder: Path) -> str:
    """Return the name of a folder of training photos in ``folder``, or an empty text."""
    try:
        names = [entry.name for entry in os.scandir(folder) if split_of(entry.name) == TRAIN]
    except OSError:
        return ""
    return next((name for name in sorted(names) if (folder / name).is_dir()), "")

"""Where a folder of photos keeps what: the competition's layout, or plain class folders.

``train/<class>/*``, ``test/``, ``test.csv``, ``sample_submission.csv`` and, where known,
``answers.csv``; ``Train``, ``Training`` or ``Test.csv`` will do. Without a folder ``train``, the
folder's own subfolders are the classes.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from carvision.data.folder.class_folders import class_folders, count_beside, describe_depth
from carvision.data.folder.findings import Findings
from carvision.data.folder.listing import (
    Folder,
    Photo,
    entries_of,
    has_photo,
    is_folder,
    is_photo,
    photos_below,
)
from carvision.data.folder.splits import TEST, TRAIN, VALIDATION, plain, split_in, split_of
from carvision.data.names import printable
from carvision.errors import DataError

_TEST_LIST = "test.csv"
_TEMPLATE = "sample_submission.csv"
_ANSWERS = "answers.csv"


@dataclass(frozen=True)
class Listing:
    """The photos in the class folders by ``image_id``, and what was found beside them."""

    photos: list[Photo]
    findings: Findings


@dataclass(frozen=True)
class Layout:
    """A folder of photos. Its properties are absolute paths, None where there is no such file."""

    root: Path

    @classmethod
    def at(cls, folder: Path) -> "Layout":
        """The layout of ``folder``.

        Raises:
            DataError: it does not exist, is not a folder, or cannot be read.
        """
        try:
            what = (
                ""
                if folder.is_dir()
                else "is not a folder"
                if folder.exists()
                else "does not exist"
            )
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
        if what:
            raise DataError(
                f"data={printable(folder)} {what}; give a folder of photos, a zip, or data=sample"
            )
        layout = cls(folder.resolve())
        layout._refuse_one_level_too_high(folder)
        return layout

    @property
    def train(self) -> Path:
        """The folder whose subfolders are the classes.

        Raises:
            DataError: the names of the folders leave open which one that is.
        """
        named = self._split_folders(TRAIN)
        if len(named) > 1:
            raise DataError(
                f"{printable(self.root)} holds {_quoted(named)}, and each may be the folder of "
                "training photos: rename or remove all but one"
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
        return self._file(_TEST_LIST) or self._test_folder()

    @property
    def template(self) -> Path | None:
        """The submission's template."""
        return self._file(_TEMPLATE)

    @property
    def answers(self) -> Path | None:
        """The test photos' true classes (``ID,label``), where they are known."""
        return self._file(_ANSWERS)

    def training_photos(self) -> list[Photo]:
        """Every photo in a class folder, by ``image_id``."""
        return self.listing().photos

    def listing(self) -> Listing:
        """Every photo in a class folder, and what is passed over in the folder of the classes.

        Raises:
            DataError: a folder cannot be read, or the name of a class folder is no text.
        """
        findings = Findings()
        root, train = Folder.at(self.root), self.train
        folder = root if train == self.root else root.child(train.name)
        classes = class_folders(folder, self._own_files(), findings)
        photos = [photo for each in classes for photo in photos_below(each, findings)]
        describe_depth(classes, photos, findings)
        return Listing(sorted(photos, key=lambda photo: photo.image_id), findings)

    def count_beside(self, findings: Findings) -> None:
        """Count also what lies beside the folder of the classes, which may be much."""
        if self.train != self.root:
            count_beside(Folder.at(self.root), self.train.name, self._own_files(), findings)

    def labels_of(self, photos: Sequence[Photo]) -> list[str]:
        """The class folder that each photo is in, in NFC."""
        part = 0 if self.train == self.root else 1
        return [photo.image_id.split("/")[part] for photo in photos]

    def label_of(self, photo: Photo) -> str:
        """The class folder that a photo is in, in NFC."""
        return self.labels_of([photo])[0]

    def _folders(self) -> list[str]:
        """Names of the folders in the root, the hidden ones left out."""
        entries = _entries(self.root)
        return sorted(e.name for e in entries if not e.name.startswith(".") and is_folder(e))

    def _has_photo(self, *names: str) -> bool:
        folder = Folder.at(self.root)
        for name in names:
            folder = folder.child(name)
        return has_photo(folder)

    def _file(self, name: str) -> Path | None:
        """The file ``name``, or the only one whose name differs in case, blanks, ``_`` or ``-``.

        A folder of that name may be a class.
        """
        names = [entry.name for entry in _entries(self.root) if not is_folder(entry)]
        similar = [name] if name in names else [n for n in names if plain(n) == plain(name)]
        if len(similar) > 1:
            raise DataError(
                f"{printable(self.root)} holds {_quoted(similar)}, and each may be {name}: "
                "rename or remove all but one"
            )
        if not similar:
            return None
        found = self.root / similar[0]
        if not found.is_file():  # to do without it would be to submit something else
            what = "is a pipe or a device" if found.exists() else "leads to nothing"
            raise DataError(
                f"{printable(found)} {what} where a file is expected: put {name} there, or remove "
                "it"
            )
        return found

    def _own_files(self) -> frozenset[str]:
        files = (self._file(name) for name in (_TEST_LIST, _TEMPLATE, _ANSWERS))
        return frozenset(file.name for file in files if file)

    def _test_folder(self) -> Path | None:
        named = self._split_folders(TEST)
        if len(named) > 1:
            raise DataError(
                f"{printable(self.root)} holds {_quoted(named)}, and each may be the folder of "
                "test photos: give test=PATH"
            )
        return self.root / named[0] if named else None

    def _split_folders(self, split: str) -> list[str]:
        """Folders that are called like ``split``; what holds no photo counts under that name alone.

        One folder that two names lead to counts once.
        """
        by_place = {
            os.path.realpath(self.root / name): name
            for name in self._folders()
            if split_of(name) == split and (name == split or self._may_hold_photos(name))
        }
        return sorted(by_place.values())

    def _may_hold_photos(self, name: str) -> bool:
        return self._has_photo(name) or not os.access(self.root / name, os.R_OK | os.X_OK)

    def _refuse_one_level_too_high(self, given: Path) -> None:
        folders = self._folders()
        if any(split_of(name) == TRAIN for name in folders):
            return
        inside = ((name, _train_in(self.root / name)) for name in folders)
        outer, inner = next((pair for pair in inside if pair[1]), ("", ""))
        if inner and not any(self._has_photo(name) for name in folders if name != outer):
            raise DataError(
                f"data={printable(given)} holds no folder train, but "
                f"{printable(outer)}/{printable(inner)} is there: did you mean "
                f"data={printable(given / outer)}?"
            )

    def _refuse_class_named_like_train(self, name: str) -> None:
        """``Training/*.jpg`` beside ``Walking/*.jpg`` may be a class, or a split without one."""
        below = [e.name for e in _entries(self.root / name) if is_folder(e)]
        if any(self._has_photo(name, child) for child in below):
            return
        others = [other for other in self._folders() if split_of(other) is None]
        if any(self._has_photo(other) for other in others):
            raise DataError(
                f"{printable(self.root)}: {printable(name)!r} may be a class, or the folder of "
                "all training photos: put the class folders into a folder train"
            )

    def _refuse_splits_of_longer_names(self) -> None:
        """``X_train`` beside ``X_test`` may be classes, or splits; a class has photos in itself."""
        kinds = {name: split_in(name) for name in self._folders()}
        splits = [name for name, kind in kinds.items() if kind and self._may_hold_photos(name)]
        training = [name for name in splits if kinds[name] == TRAIN]
        if not training or len({kinds[name] for name in splits}) < 2:
            return
        entries = (entry for name in training for entry in _entries(self.root / name))
        others = (name for name in kinds if name not in splits and self._has_photo(name))
        if next(others, None) is None or not any(is_photo(e.name) for e in entries):
            raise DataError(
                f"{printable(self.root)}: {_quoted(splits)} may be classes, or the folders of "
                "training and test photos: call them train and test, or put the class folders "
                "into a folder train"
            )

    def _refuse_validation_as_class(self) -> None:
        """Without a folder of training photos, ``valid`` may be a class or a split."""
        splits = [name for name in self._split_folders(VALIDATION) if self._has_photo(name)]
        if splits:
            raise DataError(
                f"{printable(self.root)} holds no folder train, and {_quoted(splits)} may be "
                "photos for validation, or classes: put every class folder into a folder train, "
                "and leave out what is no class"
            )


def _train_in(folder: Path) -> str:
    """The name of a folder of training photos in ``folder``; empty where there is none."""
    try:
        names = [entry.name for entry in os.scandir(folder) if split_of(entry.name) == TRAIN]
    except OSError:
        return ""
    return next((name for name in sorted(names) if (folder / name).is_dir()), "")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    return entries_of(Folder(str(folder), "", "", frozenset()))


def _quoted(names: Sequence[str]) -> str:
    return " and ".join(repr(printable(name)) for name in names)

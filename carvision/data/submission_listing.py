"""The photos of a submission: from ``test.csv``, from a folder, or from a list of the user."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from carvision.config.words import first_few, quoted
from carvision.contracts import nfc
from carvision.data.folder.findings import Finding, Findings
from carvision.data.folder.layout import Layout
from carvision.data.folder.listing import Folder, photos_below
from carvision.data.names import printable, text_of
from carvision.data.tables import read_table, refuse_repeated
from carvision.errors import DataError

log = logging.getLogger(__name__)

#: A user who trusts the input sets this variable to 1: the input may then name any file.
ALLOW_PATHS: Final = "CARVISION_ALLOW_PATHS"


@dataclass(frozen=True)
class SubmissionPhotos:
    """The photos to predict: their IDs as the submission spells them, and their files."""

    ids: tuple[str, ...]
    paths: tuple[Path, ...]

    @classmethod
    def of(cls, layout: Layout | None, test: str = "", root: Path | None = None) -> Self:
        """Find the photos of ``test`` (a folder or a CSV), or else those of the layout.

        A CSV may list photos below its own folder, and below ``root``.

        Raises:
            DataError: there are no such photos, or a listed one is missing.
        """
        source = Path(test) if test else layout.test if layout else None
        if source is None:
            where = layout.root if layout else "the data"
            raise DataError(f"{where} holds neither test.csv nor test/; give test=PATH")
        if source.is_dir():
            return cls._of_folder(source)
        if source.suffix.lower() == ".csv" and source.is_file():
            return cls._of_csv(source, root)
        what = "is neither a folder nor a .csv" if source.exists() else "does not exist"
        raise DataError(f"test={source} {what}")

    @classmethod
    def _of_folder(cls, folder: Path) -> Self:
        findings = Findings()
        found = photos_below(Folder.at(folder), findings)
        photos = sorted(found, key=lambda photo: photo.image_id)
        unreadable = [str(folder / name) for name in findings.names(Finding.UNREADABLE)]
        if unreadable:
            raise DataError(
                f"test={printable(folder)}: there may be test photos in folders that cannot be "
                f"read: {first_few(unreadable)}; give yourself the right to read them"
            )
        if not photos:
            raise DataError(f"test={folder} holds no photo")
        for sentence in findings.sentences():
            log.log(logging.WARNING if sentence.is_warning else logging.INFO, sentence.text)
        ids = [Path(photo.image_id).stem for photo in photos]
        refuse_repeated(ids, folder)
        return cls(tuple(ids), tuple(folder / photo.path for photo in photos))

    @classmethod
    def _of_csv(cls, path: Path, root: Path | None) -> Self:
        table = read_table(path, ["ID", "img_path"])
        refuse_repeated(table["ID"].tolist(), path)
        folder, paths = _ListFolder(path.parent, root), []
        for line, name in table["img_path"].items():
            try:
                paths.append(folder.find(name))
            # ValueError: a NUL byte. OSError: too long, or in a folder that may not be entered.
            except (DataError, OSError, ValueError) as error:
                raise DataError(f"{path}, line {line}: {_reason(error, name)}") from None
        if not paths:
            raise DataError(f"{path} lists no photo")
        return cls(tuple(table["ID"]), tuple(paths))


class _ListFolder:
    """The folder that a list's paths are relative to; they may also lead below ``root``."""

    def __init__(self, folder: Path, root: Path | None) -> None:
        self._folder = folder.resolve()
        # Also as they were given: an absolute path in the list may lead through links.
        given = [path for path in (folder, root) if path is not None]
        spelled = [os.path.abspath(path) for path in given]  # noqa: PTH100
        self._roots = [Path(nfc(path)) for path in (*spelled, *(str(p.resolve()) for p in given))]
        self._spellings: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path:
        """Find the file that a list calls ``name``; Windows writes ``\\`` for ``/``.

        Raises:
            DataError: there is no such file, or it lies outside and that is not allowed.
        """
        if "\0" in name:
            raise DataError(f"the photo {quoted(name)} is missing: no name holds a NUL")
        spelled = [self._inside(way) for way in dict.fromkeys([name, name.replace("\\", "/")])]
        for path in spelled:
            if path.is_file():
                return path
        for path in map(self._as_on_disk, spelled):
            if path.is_file():
                return path
        what = ": that is a folder" if name and spelled[0].is_dir() else ""
        raise DataError(f"the photo {quoted(name)} is missing{what}")

    def _inside(self, name: str) -> Path:
        """Return the path of ``name``, without following links: photos may be on another disk."""
        path = Path(os.path.normpath(self._folder / name))
        inside = any(map(Path(nfc(str(path))).is_relative_to, self._roots))
        if inside or os.environ.get(ALLOW_PATHS) == "1":
            return path
        raise DataError(
            f"the photo {quoted(name)} lies outside of {self._roots[0]}; if you trust this list, "
            f"allow it by the environment variable {ALLOW_PATHS}=1"
        )

    def _as_on_disk(self, path: Path) -> Path:
        """Respell the path's parts as on the disk: in another Unicode form, or in Korean bytes."""
        found = Path(path.anchor)
        for part in path.parts[1:]:
            if not (found / part).exists() and found.is_dir():
                if found not in self._spellings:
                    names = (entry.name for entry in found.iterdir())
                    self._spellings[found] = {text_of(name) or name: name for name in names}
                part = self._spellings[found].get(nfc(part), part)
            found = found / part
        return found


def _reason(error: Exception, name: str) -> str:
    """Say what is wrong with a list's entry."""
    if isinstance(error, DataError):
        return str(error)
    detail = error.strerror if isinstance(error, OSError) else error
    return f"the photo {quoted(name)} cannot be looked up: {detail}"

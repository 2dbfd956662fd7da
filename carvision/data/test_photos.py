"""The photos to predict: from ``test.csv``, from a folder, or from a list of the user's own."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from carvision.contracts import nfc
from carvision.data.layout import Layout, find_photos
from carvision.errors import DataError


@dataclass(frozen=True)
class TestPhotos:
    """IDs as the submission spells them, and the file of each."""

    __test__ = False  # pytest would take the name for a test class

    ids: tuple[str, ...]
    paths: tuple[Path, ...]

    @classmethod
    def of(cls, layout: Layout, test: str = "") -> "TestPhotos":
        """``test`` (a folder or a CSV), or the data's own ``test.csv`` or ``test/``.

        Raises:
            DataError: there is nothing of the kind, or a listed photo is missing.
        """
        source = Path(test) if test else layout.test
        if source is None:
            raise DataError(f"{layout.root} holds neither test.csv nor test/; give test=PATH")
        if source.is_dir():
            return cls._of_folder(source)
        if source.suffix.lower() == ".csv" and source.is_file():
            return cls._of_csv(source)
        what = "is neither a folder nor a .csv" if source.exists() else "does not exist"
        raise DataError(f"test={source} {what}")

    @classmethod
    def _of_folder(cls, folder: Path) -> "TestPhotos":
        photos = sorted(find_photos(folder, folder), key=lambda photo: photo.image_id)
        if not photos:
            raise DataError(f"test={folder} holds no photo")
        ids = [Path(photo.image_id).stem for photo in photos]
        _refuse_repeated(ids, folder)
        return cls(tuple(ids), tuple(folder / photo.path for photo in photos))

    @classmethod
    def _of_csv(cls, path: Path) -> "TestPhotos":
        table = read_table(path, ["ID", "img_path"])
        _refuse_repeated(table["ID"].tolist(), path)
        paths = []
        for row, name in enumerate(table["img_path"], start=2):
            photo = _existing(path.parent, name)
            if photo is None:
                raise DataError(f"{path}, line {row}: the photo {name!r} is missing")
            paths.append(photo)
        if not paths:
            raise DataError(f"{path} lists no photo")
        return cls(tuple(table["ID"]), tuple(paths))


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV as text, with or without a byte-order mark.

    Raises:
        DataError: it cannot be read, or one of ``columns`` is missing.
    """
    try:
        table = pd.read_csv(path, encoding="utf-8-sig", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns {columns}, missing {missing}; "
            f"got {list(table.columns)[:10]}"
        )
    return table


def _existing(folder: Path, name: str) -> Path | None:
    """The file, whichever Unicode form the disk and the list use."""
    path = folder / name
    if path.is_file():
        return path
    if path.parent.is_dir():
        return next((p for p in path.parent.iterdir() if nfc(p.name) == nfc(path.name)), None)
    return None


def _refuse_repeated(ids: list[str], source: Path) -> None:
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(repeated):
        raise DataError(f"{source}: the ID {repeated[0]!r} occurs more than once")

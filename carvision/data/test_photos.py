"""The photos to predict: from ``test.csv``, from a folder, or from a list of the user's own."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd

from carvision.contracts import nfc
from carvision.data.layout import Layout, find_photos
from carvision.data.text import decoded
from carvision.errors import DataError


@dataclass(frozen=True)
class TestPhotos:
    """IDs as the submission spells them, and the file of each."""

    __test__ = False  # pytest would take the name for a test class

    ids: tuple[str, ...]
    paths: tuple[Path, ...]

    @classmethod
    def of(cls, layout: Layout | None, test: str = "") -> "TestPhotos":
        """``test`` (a folder or a CSV), or the layout's own ``test.csv`` or ``test/``.

        Raises:
            DataError: there is nothing of the kind, or a listed photo is missing.
        """
        source = Path(test) if test else layout.test if layout else None
        if source is None:
            where = layout.root if layout else "the data"
            raise DataError(f"{where} holds neither test.csv nor test/; give test=PATH")
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
        refuse_repeated(ids, folder)
        return cls(tuple(ids), tuple(folder / photo.path for photo in photos))

    @classmethod
    def _of_csv(cls, path: Path) -> "TestPhotos":
        table = read_table(path, ["ID", "img_path"])
        refuse_repeated(table["ID"].tolist(), path)
        paths = []
        for line, name in table["img_path"].items():
            photo = _existing(path.parent, name)
            if photo is None:
                raise DataError(f"{path}, line {line}: the photo {name!r} is missing")
            paths.append(photo)
        if not paths:
            raise DataError(f"{path} lists no photo")
        return cls(tuple(table["ID"]), tuple(paths))


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV as text, with or without a byte-order mark, indexed by line number.

    It may be in UTF-8, or as older Excel writes it: in UTF-16 or, in Korea, in cp949 (EUC-KR).

    Raises:
        DataError: it cannot be read, a row has too many fields, a column occurs twice, or one of
            ``columns`` is missing.
    """
    try:
        raw = _rows(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    names = pd.Index(raw.iloc[0])
    if names.has_duplicates:
        raise DataError(f"{path}: two columns have the same name, {names[names.duplicated()][0]!r}")
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(
            f"{path}: expected the columns {columns}, missing {missing}; got {list(names)[:10]}"
        )
    table = raw.iloc[1:].set_axis(names, axis=1)
    table.index += 1
    return table[(table != "").any(axis=1)]


def _rows(path: Path) -> pd.DataFrame:
    try:
        return _parsed(path)
    except UnicodeDecodeError:
        return _parsed(StringIO(decoded(path.read_bytes(), str(path))))


def _parsed(source: Path | StringIO) -> pd.DataFrame:
    # The header is read as a row: pandas would rename a column that occurs twice, and take the
    # first for an index where rows are longer than the header.
    return pd.read_csv(
        source,
        encoding="utf-8-sig",
        dtype=str,
        header=None,
        keep_default_na=False,
        skip_blank_lines=False,
    )


def _existing(folder: Path, name: str) -> Path | None:
    """The file, whichever Unicode form the disk and the list use for each part of its path."""
    path = folder / name
    if path.is_file():
        return path
    found = folder
    for part in Path(name).parts:
        if not (found / part).exists():
            if not found.is_dir():
                return None
            twins = [entry.name for entry in found.iterdir() if nfc(entry.name) == nfc(part)]
            part = twins[0] if twins else part
        found = found / part
    return found if found.is_file() else None


def refuse_repeated(ids: list[str], source: Path) -> None:
    """Refuse IDs that would overwrite each other.

    Raises:
        DataError: an ID occurs more than once in ``source``.
    """
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(repeated):
        raise DataError(f"{source}: the ID {repeated[0]!r} occurs more than once")

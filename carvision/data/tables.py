"""CSV files: the user's own, read as text; and those that people open in a spreadsheet."""

import re
from io import StringIO
from pathlib import Path
from typing import Final

import pandas as pd

from carvision.config.words import quoted, shortened
from carvision.data.text import decoded
from carvision.errors import DataError
from carvision.files import replacing_output

#: A spreadsheet computes a cell that begins with one of these, and a formula may send the sheet's
#: content to a stranger. See OWASP, "CSV Injection". The wide forms count in East Asian locales.
_FORMULA: Final = r"[=+\-@\t\r\n＝＋－＠]"
#: An apostrophe makes a cell plain text. One that stands there already is told apart by a second.
_NEEDS_MARK: Final = re.compile(f"^(?='*{_FORMULA})")
_MARKED: Final = re.compile(f"^'(?='*{_FORMULA})")

#: pandas quotes what is part of a line's end: with these, a lone carriage return in a name, too.
WINDOWS_LINES: Final = "\r\n"


def read_table(path: Path, columns: list[str], *, key: str | None = None) -> pd.DataFrame:
    """A CSV as text, with or without a byte-order mark, indexed by line number.

    It may be in UTF-8, or as older Excel writes it: in UTF-16 or, in Korea, in cp949 (EUC-KR).
    The first column called ``key`` may have a namesake: a class may be called as the ID column is.

    Raises:
        DataError: it cannot be read, a row has too many fields, a column occurs twice, or one of
            ``columns`` is missing.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe may never end
            raise DataError(f"{path} cannot be read: it is a folder, a pipe or a device")
        raw = _rows(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    # pandas fills rows that are shorter than the header.
    raw = raw.fillna("")
    names = pd.Index(raw.iloc[0])
    others = names.delete(names.get_indexer_for([key])[0]) if key in names else names
    if others.has_duplicates:
        raise DataError(
            f"{path}: two columns have the same name, {quoted(others[others.duplicated()][0])}"
        )
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(
            f"{path}: expected the columns {columns}, missing {missing}; got "
            f"{shortened(str(list(names[:10])), 400)}"
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


def refuse_repeated(ids: list[str], source: Path) -> None:
    """Refuse IDs that would overwrite each other.

    Raises:
        DataError: an ID occurs more than once in ``source``.
    """
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(repeated):
        raise DataError(f"{source}: the ID {quoted(repeated[0])} occurs more than once")


def spreadsheet_csv(table: pd.DataFrame, float_format: str | None = None) -> str:
    """A CSV for people: no cell is a formula, and Korean names are read right.

    Text that a spreadsheet would compute gets an apostrophe in front, which
    :func:`plain_cell` takes away again.
    """
    safe = table.copy()
    for place in range(len(safe.columns)):
        column = safe.iloc[:, place]
        if not pd.api.types.is_numeric_dtype(column):
            safe.isetitem(place, [_safe_cell(value) for value in column])
    text: str = safe.to_csv(index=False, float_format=float_format, lineterminator=WINDOWS_LINES)
    # The mark makes spreadsheets read UTF-8.
    return "\ufeff" + text


def write_spreadsheet_csv(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write :func:`spreadsheet_csv`; an earlier file of other content is kept."""
    with replacing_output(path) as temporary:
        temporary.write_text(spreadsheet_csv(table, float_format), encoding="utf-8", newline="")


def plain_cell(text: str) -> str:
    """The text that :func:`spreadsheet_csv` was given for a cell."""
    return _MARKED.sub("", text)


def _safe_cell(value: object) -> object:
    return _NEEDS_MARK.sub("'", value) if isinstance(value, str) else value

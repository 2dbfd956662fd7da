"""CSV files: those of the user, read as text, and those that people open in a spreadsheet."""

import re
from io import StringIO
from pathlib import Path
from typing import Final

import pandas as pd

from carvision.config.words import quoted, shortened
from carvision.data.text import decoded
from carvision.errors import DataError
from carvision.files import replacing_output

#: A spreadsheet takes a cell that begins with one of these for a formula, and a formula may send
#: the sheet's content to a stranger. See OWASP, "CSV Injection". The wide forms count in East Asian
#: locales.
_FORMULA: Final = r"[=+\-@\t\r\n＝＋－＠]"
#: An apostrophe makes a cell plain text. A text that begins with one already gets a second.
_NEEDS_MARK: Final = re.compile(f"^(?='*{_FORMULA})")
_MARKED: Final = re.compile(f"^'(?='*{_FORMULA})")

#: pandas quotes a cell that holds a character of the line's end: here also a carriage return.
WINDOWS_LINES: Final = "\r\n"


def read_table(path: Path, columns: list[str], *, key: str | None = None) -> pd.DataFrame:
    """Read a CSV as text, indexed by line number; empty lines are left out.

    It may be in UTF-8, with or without a byte-order mark, or in the encodings of older Excel:
    UTF-16 and, in Korea, cp949 (EUC-KR). A second column called ``key`` is allowed, since a class
    may have the name of the ID column.

    Raises:
        DataError: the file cannot be read, a row has too many fields, a column occurs twice, or
            one of ``columns`` is missing.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe may never end
            raise DataError(f"{path} cannot be read: it is a folder, a pipe or a device")
        raw = _rows(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    # pandas fills rows that are shorter than the header with NaN.
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
    # Read the header as a row: pandas would rename a column that occurs twice, and would take the
    # first column for an index where rows are longer than the header.
    return pd.read_csv(
        source,
        encoding="utf-8-sig",
        dtype=str,
        header=None,
        keep_default_na=False,
        skip_blank_lines=False,
    )


def refuse_repeated(ids: list[str], source: Path) -> None:
    """Refuse IDs that are not unique.

    Raises:
        DataError: an ID occurs more than once in ``source``.
    """
    repeated = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(repeated):
        raise DataError(f"{source}: the ID {quoted(repeated[0])} occurs more than once")


def spreadsheet_csv(table: pd.DataFrame, float_format: str | None = None) -> str:
    """Format a CSV for a spreadsheet: no cell is a formula, and Korean names are decoded right.

    Text that would be a formula gets an apostrophe in front; :func:`plain_cell` removes it.
    """
    safe = table.copy()
    for place in range(len(safe.columns)):
        column = safe.iloc[:, place]
        if not pd.api.types.is_numeric_dtype(column):
            safe.isetitem(place, [_safe_cell(value) for value in column])
    text: str = safe.to_csv(index=False, float_format=float_format, lineterminator=WINDOWS_LINES)
    # The byte-order mark makes spreadsheets read UTF-8.
    return "\ufeff" + text


def write_spreadsheet_csv(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write :func:`spreadsheet_csv`; an earlier file of other content is kept."""
    with replacing_output(path) as temporary:
        temporary.write_text(spreadsheet_csv(table, float_format), encoding="utf-8", newline="")


def plain_cell(text: str) -> str:
    """Return a cell's text as it was before :func:`spreadsheet_csv`."""
    return _MARKED.sub("", text)


def _safe_cell(value: object) -> object:
    return _NEEDS_MARK.sub("'", value) if isinstance(value, str) else value

"""CSV files: read as text, and written so that a spreadsheet computes nothing."""

import csv
import os
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carvision.data.preparation.exclusions import read_exclusions, refuse_unknown
from carvision.data.submission import Template, read_answers
from carvision.data.tables import (
    plain_cell,
    read_table,
    spreadsheet_csv,
    write_spreadsheet_csv,
)
from carvision.errors import DataError

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "=",
    '=HYPERLINK("http://x?"&A1,"y")',
    "＝1+1",
    "＠x",
]
#: Texts that look like a cell that was made safe, or like nothing special.
OTHERS = ["'", "''", "'a", "K5", "", "001", " =1", "a=1", "NaN", "라브4", "a,b", 'a"b']


def _cells(text):
    """The rows below the header, as a spreadsheet reads them."""
    return list(csv.reader(StringIO(text.removeprefix("\ufeff"), newline="")))[1:]


@pytest.mark.parametrize("cell", FORMULAS)
def test_no_cell_is_a_formula(cell):
    for text in (cell, "'" + cell, "''" + cell):
        ((written,),) = _cells(spreadsheet_csv(pd.DataFrame({"class": [text]})))
        assert written == "'" + text
        assert plain_cell(written) == text


@pytest.mark.parametrize("cell", OTHERS)
def test_other_text_stays_as_it_is(cell):
    ((written, _),) = _cells(spreadsheet_csv(pd.DataFrame({"class": [cell], "n": [1]})))
    assert written == plain_cell(written) == cell


def test_numbers_stay_numbers():
    table = pd.DataFrame({"margin": [-0.25, np.nan], "n": [-3, 4], "cost": [-1.5, None]})
    text = spreadsheet_csv(table, "%.3f")
    assert _cells(text) == [["-0.250", "-3", "-1.500"], ["", "4", ""]]
    assert text.startswith("\ufeffmargin,")
    assert table["margin"].tolist()[0] == -0.25


def test_an_exclusion_list_names_the_photos_it_was_written_with(tmp_path):
    ids = [f"{name}/1.jpg" for name in (*FORMULAS, "'=1", "''-", "K5", "'K5", "re\rturn")]
    path = tmp_path / "list.csv"
    write_spreadsheet_csv(path, pd.DataFrame({"image_id": ids, "reason": ["=x"] * len(ids)}))
    assert list(read_exclusions(path)) == ids


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a\nb", "a\rb", "a\tb", " a ", "=a", "NA", "001"])
def test_a_table_is_read_as_it_was_written(tmp_path, name):
    path = tmp_path / "t.csv"
    path.write_bytes(
        pd.DataFrame({"x": [name], name: ["1"]}).to_csv(index=False, lineterminator="\r\n").encode()
    )
    table = read_table(path, ["x", name])
    assert (table["x"].tolist(), table[name].tolist()) == ([name], ["1"])


def test_short_rows_are_filled_with_empty_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1\n2,3\n")
    assert read_table(path, ["a"])["b"].tolist() == ["", "3"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ID,a,a\n1,2,3\n", None),
        ("ID,a,a\n1,2,3\n", "ID"),
        ("ID,ID,ID\n1,2,3\n", "ID"),
        ("ID,ID\n1,2\n", None),
    ],
)
def test_columns_of_one_name(tmp_path, text, key):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="two columns have the same name"):
        read_table(path, ["ID"], key=key)


def test_the_key_may_have_one_namesake(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("ID,a,ID\n1,2,3\n")
    assert read_table(path, ["ID"], key="ID").columns.tolist() == ["ID", "a", "ID"]


_LONG = "x" * 300_000


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"{_LONG},{_LONG}y\n", Template.read),
        (f"ID,{_LONG},{_LONG}\nA,0,0\n", Template.read),
        (f"ID,a\n{_LONG},0\n{_LONG},0\n", Template.read),
        (f"ID,label\nA,a\n{_LONG},\n", lambda path: read_answers(path, (_LONG,))),
        (f"image_id\n{_LONG}\n", lambda path: refuse_unknown(read_exclusions(path), ["a.jpg"])),
    ],
)
def test_what_is_long_is_not_printed_whole(tmp_path, text, read):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        read(path)
    assert len(str(error.value)) < 1_000 + len(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_only_a_regular_file_is_read(tmp_path, make):
    make(path := tmp_path / "list.csv")
    with pytest.raises(DataError, match=r"list\.csv cannot be read: it is a folder, a pipe or"):
        read_exclusions(path)

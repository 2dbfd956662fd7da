"""Class names in NFC, and folders that count as one class."""

import json
import unicodedata

import pytest

from carvision.contracts import ClassMap, nfc
from carvision.errors import DataError

TWINS = ["RAV4_2016_2018", "라브4_4세대_2013_2018"]


def _nfd(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def test_names_are_sorted_and_numbered():
    classes = ClassMap.of(["b", "a", "b", "C", "가"])
    assert classes.names == ("C", "a", "b", "가")
    assert classes.folders == (("C",), ("a",), ("b",), ("가",))
    assert classes.index_by_folder() == {"C": 0, "a": 1, "b": 2, "가": 3}


@pytest.mark.parametrize("group", [TWINS, TWINS[::-1]])
def test_a_merged_class_takes_its_groups_first_name(group):
    classes = ClassMap.of([*TWINS, "K5", "니로"], [group])
    assert len(classes.names) == 3
    index = classes.index_by_folder()
    assert index[TWINS[0]] == index[TWINS[1]]
    assert classes.names[index[TWINS[0]]] == group[0]
    assert classes.folders[index[TWINS[0]]] == tuple(group)
    assert list(classes.names) == sorted(classes.names)
    assert set(index.values()) == {0, 1, 2}


def test_both_unicode_forms_are_one_class():
    name = TWINS[1]
    assert _nfd(name) != name
    assert nfc(_nfd(name)) == name
    assert ClassMap.of([name, _nfd(name), "a"]).names == ("a", name)
    # In a group too.
    merged = ClassMap.of([_nfd(name), "a"], [[TWINS[0], _nfd(name)]])
    assert merged.names == (TWINS[0], "a")
    assert merged.folders[0] == tuple(TWINS)


@pytest.mark.parametrize("present", TWINS)
def test_a_groups_folder_without_photos_keeps_its_column(present):
    classes = ClassMap.of([present, "a"], [TWINS])
    assert classes.names == (TWINS[0], "a")
    assert classes.index_by_folder() == {TWINS[0]: 0, TWINS[1]: 0, "a": 1}


def test_a_group_of_which_there_is_nothing_is_refused():
    with pytest.raises(DataError, match=r"same_classes.*'x', 'y'"):
        ClassMap.of(["a", "b"], [["x", "y"]])


def test_several_groups():
    classes = ClassMap.of(["a", "b", "c", "d", "e"], [["d", "a"], ["e", "b"]])
    assert classes.names == ("c", "d", "e")
    assert classes.folders == (("c",), ("d", "a"), ("e", "b"))


def test_json_round_trip():
    classes = ClassMap.of([*TWINS, "K5"], [TWINS])
    text = json.dumps(classes.to_json())
    assert ClassMap.from_json(json.loads(text)) == classes


@pytest.mark.parametrize(
    "stored",
    [
        {"names": "ab", "folders": [["a"], ["b"]]},
        {"names": ["a", "b"], "folders": ["a", "b"]},
        {"names": ["a"], "folders": [["a"], ["b"]]},
        {"names": [], "folders": []},
        {"names": ["a", "a"], "folders": [["a"], ["b"]]},
        {"names": ["a", "b"], "folders": [["a"], ["a"]]},
        {"names": ["a", "b"], "folders": [["a"], []]},
        {"names": ["a", 2], "folders": [["a"], ["b"]]},
        {"names": ["a", ""], "folders": [["a"], ["b"]]},
        {"names": ["a", None], "folders": [["a"], ["b"]]},
    ],
)
def test_what_is_no_class_map_is_refused(stored: dict) -> None:
    with pytest.raises(ValueError):
        ClassMap.from_json(stored)
